#include "cli/config_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json_text.h"
#include "cli/paths.h"
#include "run/journal.h"
#include "run/report_state.h"
#include "source/config.h"

namespace ckpt {
namespace {

constexpr std::string_view kName = "config.json";
constexpr uint64_t kMostReport = 64ULL << 20;

void Replace(SourceConfig config, Catalog& catalog) {
  std::erase_if(catalog.configs, [](const SourceConfig& one) { return one.kind == "hf"; });
  catalog.header_bytes += config.text.size();
  // Before those of other kinds: it is the one that the user means.
  catalog.configs.insert(catalog.configs.begin(), std::move(config));
}

// The folder above; "" where there is none that is worth a look.
std::string Above(std::string folder) {
  while (folder.ends_with('/')) folder.pop_back();
  const size_t slash = folder.rfind('/');
  if (slash == std::string::npos || slash == 0 || folder[slash - 1] == '/') return "";
  return folder.substr(0, slash);
}

// The text in a report, if it has one.
std::string ConfigIn(Store& store, const std::string& report) {
  const Result<std::string> text = store.ReadWhole(report, kMostReport);
  if (!text) return "";
  const nlohmann::json json = ParseJson(*text);
  const nlohmann::json::json_pointer place("/source/configs/config.json");
  return json.is_object() && json.contains(place) && json[place].is_string()
             ? json[place].get<std::string>()
             : "";
}

}  // namespace

Result<void> UseConfigFile(const std::string& path, Catalog& catalog) {
  StoreAccess access;
  CKPT_TRY(const SourcePlace place, FindSource(path, access));
  if (place.object.empty())
    return Result<void>(Fail(Code::kUsage, "--config names a folder", "name the config.json in it"))
        .map_error(Where("file", path));
  CKPT_TRY(std::string text, place.store->ReadWhole(place.object, kMaxConfigBytes));
  Result<SourceConfig> config = FlattenConfig("hf", std::string(kName), std::move(text));
  if (!config) return Fail(Where("file", path)(std::move(config).error()));
  Replace(*std::move(config), catalog);
  return {};
}

Result<void> UseKeptConfig(const std::string& source, const StoreAccess& access, Catalog& catalog) {
  const bool has_config = std::any_of(catalog.configs.begin(), catalog.configs.end(),
                                      [](const SourceConfig& one) { return one.kind == "hf"; });
  if (has_config) return {};
  std::string folder = source;
  for (int i = 0; i <= kMostParents && !folder.empty(); ++i, folder = Above(folder)) {
    const Result<SourcePlace> place = FindSource(folder, access);
    if (!place || !place->object.empty()) continue;
    const Result<std::vector<ObjectInfo>> state = place->store->List(std::string(kStateFolder));
    if (!state) continue;
    for (const ObjectInfo& object : *state) {
      if (!object.name.ends_with("/report.json")) continue;
      std::string text = ConfigIn(*place->store, object.name);
      if (text.empty()) continue;
      CKPT_TRY(SourceConfig config, FlattenConfig("hf", std::string(kName), std::move(text)));
      Replace(std::move(config), catalog);
      return {};
    }
  }
  return {};
}

}  // namespace ckpt
