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
  const size_t slash = folder.rfind('/');
  if (slash == std::string::npos || slash == 0 || folder[slash - 1] == '/') return "";
  return folder.substr(0, slash);
}

std::string TextAt(const nlohmann::json& json, const char* place) {
  const nlohmann::json::json_pointer pointer(place);
  return json.contains(pointer) && json[pointer].is_string() ? json[pointer].get<std::string>()
                                                             : "";
}

// Whether a report tells of an output that holds `part`, relative to the folder of the run.
bool TellsOf(const nlohmann::json& report, std::string_view part) {
  if (!report.is_object() || !report.contains("outputs") || !report["outputs"].is_array())
    return false;
  return std::any_of(report["outputs"].begin(), report["outputs"].end(),
                     [&](const nlohmann::json& output) {
                       if (!output.is_object() || !output.contains("path")) return false;
                       const std::string path = TextAt(output, "/path");
                       return path.empty() || PathBelow(part, path);
                     });
}

// The report that tells of an output of ours, in its folder or in one of those above; null where
// there is none.
nlohmann::json FindReportOf(const std::string& output, const StoreAccess& access) {
  std::string folder = output;
  // Nothing of ours is on Kaggle, and above a version's files there are only other versions.
  if (folder.starts_with("kaggle://")) return {};
  for (int i = 0; i <= kMostParents && !folder.empty(); ++i, folder = Above(folder)) {
    const Result<SourcePlace> place = FindSource(folder, access);
    if (!place || !place->object.empty()) continue;
    const Result<std::vector<ObjectInfo>> state = place->store->List(std::string(kStateFolder));
    if (!state) continue;
    for (const ObjectInfo& object : *state) {
      if (!object.name.ends_with("/report.json")) continue;
      const Result<std::string> text = place->store->ReadWhole(object.name, kMostReport);
      nlohmann::json report = text ? ParseJson(*text) : nlohmann::json();
      if (TellsOf(report, PathBelow(output, folder).value_or(""))) return report;
    }
  }
  return {};
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

Result<KeptNames> UseReport(const std::string& source, const StoreAccess& access,
                            Catalog& catalog) {
  std::string output = IsFolder(source) ? AbsolutePath(source) : source;
  while (output.ends_with('/')) output.pop_back();
  const nlohmann::json report = FindReportOf(output, access);
  if (report.is_null()) return KeptNames();
  const bool has_config = std::any_of(catalog.configs.begin(), catalog.configs.end(),
                                      [](const SourceConfig& one) { return one.kind == "hf"; });
  std::string text = TextAt(report, "/source/configs/config.json");
  if (!has_config && !text.empty()) {
    CKPT_TRY(SourceConfig config, FlattenConfig("hf", std::string(kName), std::move(text)));
    Replace(std::move(config), catalog);
  }
  return KeptNames{TextAt(report, "/settings/model"), TextAt(report, "/source/facts/rope")};
}

}  // namespace ckpt
