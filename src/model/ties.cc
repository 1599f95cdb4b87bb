#include "model/ties.h"

#include "model/config.h"

namespace ckpt {

const std::string* TieKey(const Tie& tie, const SourceConfig* config) {
  if (config == nullptr) return nullptr;
  const auto rule = tie.by_config.find(config->kind);
  return rule == tie.by_config.end() ? nullptr : std::get_if<std::string>(&rule->second);
}

bool ConfigTies(const Tie& tie, const SourceConfig* config) {
  const std::string* const key = TieKey(tie, config);
  if (key == nullptr) return false;
  const ConfigValue* const value = FindValue(*config, {*key});
  const bool* const is_tied = value == nullptr ? nullptr : std::get_if<bool>(value);
  return is_tied != nullptr && *is_tied;
}

bool AbsentMeansTied(const Tie& tie, const SourceConfig* config) {
  if (config == nullptr) return false;
  const auto rule = tie.by_config.find(config->kind);
  if (rule == tie.by_config.end()) return false;
  const bool* const always = std::get_if<bool>(&rule->second);
  return always != nullptr ? *always : ConfigTies(tie, config);
}

}  // namespace ckpt
