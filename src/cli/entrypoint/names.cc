#include "cli/entrypoint/names.h"

#include <algorithm>
#include <array>
#include <regex>

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
  static const std::regex kGeneration("llama[-_]?([0-9]+([.][0-9]+)?)(?![0-9.]*b)");
  const std::string lower = Lower(path);
  std::smatch match;
  if (!std::regex_search(lower, match, kGeneration)) return nullptr;
  return FindNamedModel("llama-" + match[1].str());
}

std::string MaxTextName(const NamedModel& model, std::string_view path) {
  const std::string lower = Lower(path);
  for (const std::string_view size : model.sizes) {
    if (lower.find(size) != std::string::npos) return std::string(model.prefix) + std::string(size);
  }
  return {};
}

std::string GemmaName(std::string_view text) {
  static const std::regex kGemma("gemma-?(([23])-)?-?([0-9]+b)");
  const std::string lower = Lower(text);
  std::smatch match;
  static const std::regex kGlued("gemma([23])-([0-9]+b)");
  if (std::regex_search(lower, match, kGlued))
    return "gemma" + match[1].str() + "-" + match[2].str();
  if (!std::regex_search(lower, match, kGemma)) return {};
  return "gemma" + match[2].str() + "-" + match[3].str();
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
