#include "cli/entrypoint/names.h"

#include <fmt/format.h>

#include <array>

namespace ckpt::contract {
namespace {

constexpr std::array<std::string_view, 3> kLlama2 = {"7b", "13b", "70b"};
constexpr std::array<std::string_view, 2> kLlama3 = {"8b", "70b"};
constexpr std::array<std::string_view, 3> kLlama31 = {"8b", "70b", "405b"};
constexpr std::array<std::string_view, 1> kLlama33 = {"70b"};

constexpr std::array<NamedModel, 5> kModels = {{
    {"llama-2", "llama", "llama2-", kLlama2},
    {"llama-3", "llama", "llama3-", kLlama3},
    {"llama-3.1", "llama", "llama3.1-", kLlama31},
    {"llama-3.3", "llama", "llama3.3-", kLlama33},
    {"gemma", "gemma", "gemma-", {}},
}};

// The digits and points at the text's begin, a digit first and last.
std::string_view NumberAt(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '.')) ++end;
  while (end > 0 && text[end - 1] == '.') --end;
  return text.starts_with('.') ? std::string_view() : text.substr(0, end);
}

}  // namespace

std::span<const NamedModel> NamedModels() { return kModels; }

const NamedModel* FindNamedModel(std::string_view name) {
  for (const NamedModel& model : kModels) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

std::vector<std::string> ModelNames() {
  std::vector<std::string> names;
  for (const NamedModel& model : kModels) names.emplace_back(model.name);
  return names;
}

const NamedModel* GenerationOf(std::string_view path) {
  constexpr std::string_view kWord = "llama";
  const std::string lower = Lower(path);
  for (size_t at = lower.find(kWord); at != std::string::npos; at = lower.find(kWord, at + 1)) {
    std::string_view rest = std::string_view(lower).substr(at + kWord.size());
    if (rest.starts_with('-') || rest.starts_with('_')) rest.remove_prefix(1);
    const std::string_view number = NumberAt(rest);
    // A number with a b behind it is a size: llama-7b.
    if (number.empty() || rest.substr(number.size()).starts_with('b')) continue;
    if (const NamedModel* model = FindNamedModel(fmt::format("llama-{}", number)); model != nullptr)
      return model;
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

std::string GemmaName(std::string_view text) {
  constexpr std::string_view kWord = "gemma";
  const std::string lower = Lower(text);
  // The last word that is followed by a size: "gemma-2-gemma2-9b" is a Gemma 2.
  std::string name;
  for (size_t at = lower.find(kWord); at != std::string::npos; at = lower.find(kWord, at + 1)) {
    std::string_view rest = std::string_view(lower).substr(at + kWord.size());
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
    name = fmt::format("gemma{}-{}b", generation, size);
  }
  return name;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::vector<std::string> Parts(std::string_view path) {
  std::vector<std::string> parts;
  while (true) {
    const size_t slash = path.find('/');
    parts.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace ckpt::contract
