#include "cli/entrypoint/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/text.h"
#include "model/model.h"

namespace ckpt::contract {
namespace {

std::vector<KnownFamily> FamiliesOfTables() {
  const auto families = LoadFamilies({});  // the rules are theirs
  CKPT_CHECK(families.has_value());
  std::vector<KnownFamily> known;
  for (const bool is_from_kaggle : {true, false}) {
    for (const auto& family : *families) {
      const std::optional<ContractRules>& rules = family->table().contract;
      if (rules && rules->is_from_kaggle == is_from_kaggle)
        known.push_back({family->name(), Lower(rules->title), &*rules});
    }
  }
  return known;
}

std::vector<NamedModel> ModelsOfTables() {
  std::vector<NamedModel> models;
  for (const KnownFamily& family : KnownFamilies()) {
    for (const ContractName& name : family.rules->names)
      models.push_back({name.name, name.prefix, name.sizes, name.meta_unless, &family});
  }
  // As a user is told them: those of Meta's URL first.
  std::stable_partition(models.begin(), models.end(), [](const NamedModel& model) {
    return !model.family->rules->is_from_kaggle;
  });
  return models;
}

// The digits and points at the text's begin, a digit first and last.
std::string_view NumberAt(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '.')) ++end;
  while (end > 0 && text[end - 1] == '.') --end;
  return text.starts_with('.') ? std::string_view() : text.substr(0, end);
}

}  // namespace

std::span<const KnownFamily> KnownFamilies() {
  static const std::vector<KnownFamily> families = FamiliesOfTables();
  return families;
}

const KnownFamily* FamilyOfPath(std::string_view path) {
  const std::string lower = Lower(path);
  for (const KnownFamily& family : KnownFamilies()) {
    if (lower.find(family.word) != std::string::npos) return &family;
  }
  return nullptr;
}

std::span<const NamedModel> NamedModels() {
  static const std::vector<NamedModel> models = ModelsOfTables();
  return models;
}

const NamedModel* FindNamedModel(std::string_view name) {
  for (const NamedModel& model : NamedModels()) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

std::vector<std::string> ModelNames() {
  std::vector<std::string> names;
  for (const NamedModel& model : NamedModels()) names.emplace_back(model.name);
  return names;
}

const NamedModel* GenerationOf(std::string_view path) {
  const std::string lower = Lower(path);
  for (const KnownFamily& family : KnownFamilies()) {
    const std::string& word = family.word;
    for (size_t at = lower.find(word); at != std::string::npos; at = lower.find(word, at + 1)) {
      std::string_view rest = std::string_view(lower).substr(at + word.size());
      if (rest.starts_with('-') || rest.starts_with('_')) rest.remove_prefix(1);
      const std::string_view number = NumberAt(rest);
      // A number with a b behind it is a size: llama-7b.
      if (number.empty() || rest.substr(number.size()).starts_with('b')) continue;
      const NamedModel* model = FindNamedModel(fmt::format("{}-{}", word, number));
      if (model != nullptr) return model;
    }
  }
  return nullptr;
}

std::string MaxTextName(const NamedModel& model, std::string_view path) {
  const std::string lower = Lower(path);
  for (const std::string_view size : model.sizes) {
    if (lower.find(size) != std::string::npos) return std::string(model.prefix) + std::string(size);
  }
  return {};
}

std::string NameByWord(const KnownFamily& family, std::string_view text) {
  const std::string& word = family.word;
  const std::string lower = Lower(text);
  // The last word that is followed by a size: "gemma-2-gemma2-9b" is a Gemma 2.
  std::string name;
  for (size_t at = lower.find(word); at != std::string::npos; at = lower.find(word, at + 1)) {
    std::string_view rest = std::string_view(lower).substr(at + word.size());
    if (rest.starts_with('-')) rest.remove_prefix(1);
    std::string_view generation;
    std::string_view size = NumberAt(rest);
    if (!rest.substr(size.size()).starts_with('b')) {
      generation = size;
      rest.remove_prefix(size.size());
      if (!rest.starts_with('-')) continue;
      rest.remove_prefix(1);
      size = NumberAt(rest);
    }
    if (size.empty() || !rest.substr(size.size()).starts_with('b')) continue;
    // 1 and 1.1 are the first generation, which has no number in MaxText's names.
    if (generation == "1" || generation == "1.1") generation = "";
    name = fmt::format("{}{}-{}b", word, generation, size);
  }
  return name;
}

}  // namespace ckpt::contract
