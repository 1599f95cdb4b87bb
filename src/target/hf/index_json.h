#pragma once

#include <string>

#include "plan/target.h"

namespace ckpt {

inline constexpr std::string_view kIndexName = "model.safetensors.index.json";

/// Which file holds which tensor, as transformers writes it: json.dumps(indent=2, sort_keys=True)
/// and a newline; metadata.total_size counts the tensors' bytes, without headers.
std::string PrintIndex(const OutputSpec& output);

}  // namespace ckpt
