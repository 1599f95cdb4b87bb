#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "source/catalog.h"

namespace ckpt {

/// The kinds of configuration that a table has keys for.
inline constexpr std::array<std::string_view, 3> kConfigKinds = {"hf", "meta", "gguf"};

/// The configuration that goes with a naming scheme: of the scheme's own name where there is one,
/// else the first. nullptr where the catalog has none. Points into the catalog.
const SourceConfig* PickConfig(const Catalog& catalog, std::string_view scheme);

/// What a user knows a kind of configuration by: "config.json" for "hf"; for other words both
/// files.
std::string ConfigFile(std::string_view kind);

/// The value of the first of `keys` that the configuration has.
const ConfigValue* FindValue(const SourceConfig& config, const std::vector<std::string>& keys);
/// The keys for this configuration's kind, out of a table's rule; empty where it has none.
const std::vector<std::string>& KeysFor(
    const std::map<std::string, std::vector<std::string>>& by_kind, const SourceConfig& config);

/// "true", "32", "1e-05", or the text itself.
std::string AsText(const ConfigValue& value);

}  // namespace ckpt
