#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ckpt::contract {

/// A word of --model_name, and what it meant to the original.
struct NamedModel {
  std::string_view name;                    ///< "llama-3.1"
  std::string_view family;                  ///< "llama"
  std::string_view prefix;                  ///< "llama3.1-": of MaxText's names
  std::span<const std::string_view> sizes;  ///< in the order in which a path is searched
};

/// llama-2, llama-3, llama-3.1, llama-3.3, gemma. Origin: checkpoint_converter.sh at d645ad54.
std::span<const NamedModel> NamedModels();
const NamedModel* FindNamedModel(std::string_view name);
std::vector<std::string> ModelNames();

/// The named Llama whose generation the path tells: "Meta-Llama-3-8B" is llama-3. nullptr where it
/// tells none that the contract knows.
const NamedModel* GenerationOf(std::string_view path);

/// MaxText's name by the first size that the path holds: "llama3.1-8b"; "" where there is none.
std::string MaxTextName(const NamedModel& model, std::string_view path);

/// MaxText's name of a Gemma: "google/gemma-2-9b-it" is gemma2-9b; "" where the text tells none.
std::string GemmaName(std::string_view text);

/// Lower case, of ASCII letters.
std::string Lower(std::string_view text);

/// Parts between slashes.
std::vector<std::string> Parts(std::string_view path);

}  // namespace ckpt::contract
