#include "model/config.h"

#include <fmt/format.h>

#include <algorithm>

namespace ckpt {

const SourceConfig* PickConfig(const Catalog& catalog, std::string_view scheme) {
  const auto own = std::find_if(catalog.configs.begin(), catalog.configs.end(),
                                [&](const SourceConfig& config) { return config.kind == scheme; });
  if (own != catalog.configs.end()) return &*own;
  return catalog.configs.empty() ? nullptr : catalog.configs.data();
}

std::string ConfigFile(std::string_view kind) {
  if (kind == "hf") return "config.json";
  if (kind == "meta") return "params.json";
  if (kind == "gguf") return "the GGUF file's keys";
  return "config.json or params.json";
}

const ConfigValue* FindValue(const SourceConfig& config, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    const auto found = config.values.find(key);
    if (found != config.values.end()) return &found->second;
  }
  return nullptr;
}

const std::vector<std::string>& KeysFor(
    const std::map<std::string, std::vector<std::string>>& by_kind, const SourceConfig& config) {
  static const std::vector<std::string> none;
  const auto found = by_kind.find(config.kind);
  return found == by_kind.end() ? none : found->second;
}

std::string AsText(const ConfigValue& value) {
  return std::visit([](const auto& v) { return fmt::format("{}", v); }, value);
}

}  // namespace ckpt
