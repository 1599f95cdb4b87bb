#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/family.h"

namespace ckpt::contract {

/// A family that the contract knows.
struct KnownFamily {
  std::string name;            ///< "llama"
  std::string word;            ///< "llama": what a path is searched for
  const ContractRules* rules;  ///< of its table, never null
};
/// Those whose tables say so, released on Kaggle first: so the original searches a path.
std::span<const KnownFamily> KnownFamilies();
/// The family whose word is in the path, in any case; nullptr where there is none.
const KnownFamily* FamilyOfPath(std::string_view path);

/// A word of --model_name, and what it means.
struct NamedModel {
  std::string_view name;               ///< "llama-3.1"
  std::string_view prefix;             ///< "llama3.1-": of MaxText's names
  std::span<const std::string> sizes;  ///< in the order in which a path is searched
  std::string_view meta_unless;        ///< as of ContractName
  const KnownFamily* family;           ///< never null
};

/// In the order of the tables.
std::span<const NamedModel> NamedModels();
const NamedModel* FindNamedModel(std::string_view name);
std::vector<std::string> ModelNames();

/// The named model whose generation the path tells: "Meta-Llama-3-8B" is llama-3. nullptr where it
/// tells none that the contract knows.
const NamedModel* GenerationOf(std::string_view path);

/// MaxText's name by the first size that the path holds: "llama3.1-8b"; "" where there is none.
std::string MaxTextName(const NamedModel& model, std::string_view path);

/// MaxText's name of a model by its family's word, generation and size: "google/gemma-2-9b-it" is
/// gemma2-9b; "" where the text tells none.
std::string NameByWord(const KnownFamily& family, std::string_view text);

}  // namespace ckpt::contract
