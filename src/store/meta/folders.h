#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ckpt {

/// Where a model's files lie behind a link.
struct MetaFolder {
  std::string folder;               ///< "Meta-Llama-3.1-8B-Instruct"
  bool has_root_tokenizer = false;  ///< Llama 2: tokenizer.model lies beside the folders
};

/// The folder of a model id in any of its spellings: Llama-2-7b-chat, meta-llama/Llama-2-7b,
/// Meta-Llama-3-8B, Llama3.1-8B-Instruct, Llama3.1-405B-Instruct:bf16-mp8, Llama-3.3-70B-Instruct.
/// Of 405B the form for 16 ranks is taken unless the id names another one (":bf16-mp8", ":fp8"):
/// its files are under 50 GB. kUsage for what is no Llama. Pure.
Result<MetaFolder> FolderOfModel(std::string_view model_id);

}  // namespace ckpt
