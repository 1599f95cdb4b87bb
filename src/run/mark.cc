#include "run/mark.h"

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "run/journal.h"
#include "run/report.h"

namespace ckpt {
namespace {

constexpr uint64_t kMostMarkBytes = 16ULL << 20;

// The names of a list; nothing for a list that is none, or holds what is no name.
std::optional<std::vector<std::string>> NamesIn(const nlohmann::json& json, const char* key) {
  const auto list = json.find(key);
  if (list == json.end() || !list->is_array()) return std::nullopt;
  std::vector<std::string> names;
  for (const auto& name : *list) {
    if (!name.is_string() || !SafeName(name.get<std::string>())) return std::nullopt;
    names.push_back(name.get<std::string>());
  }
  return names;
}

}  // namespace

std::string MarkName(std::string_view state_name) {
  return StateFolder(state_name) + "/state.json";
}

std::optional<Mark> ReadMark(Store& destination, std::string_view state_name) {
  const Result<std::string> text =
      ReadSmallObject(destination, MarkName(state_name), kMostMarkBytes);
  if (!text) return std::nullopt;
  const auto json = ParseJson(*text);
  if (!json.is_object() || json.value("program", nlohmann::json()) != "ckpt") return std::nullopt;
  Mark mark;
  if (const auto digest = json.find("run_digest"); digest != json.end() && digest->is_string())
    mark.run_digest = digest->get<std::string>();
  const auto files = NamesIn(json, "files");
  const auto folders = json.contains("folders") ? NamesIn(json, "folders")
                                                : std::optional(std::vector<std::string>());
  if (!files || !folders) return std::nullopt;
  mark.files = *files;
  mark.folders = *folders;
  return mark;
}

Result<void> WriteMark(Store& destination, const PlanBase& plan, const Mark& mark) {
  nlohmann::ordered_json json;
  json["schema_version"] = 1;
  json["program"] = "ckpt";
  json["target"] = plan.target;
  json["run_digest"] = plan.run_digest;
  if (!mark.folders.empty()) json["folders"] = mark.folders;
  json["files"] = mark.files;
  CKPT_TRY_VOID(WriteSmallObject(destination, MarkName(plan.state_name), PrintJson(json) + "\n",
                                 {.is_create_only = true}));
  return {};
}

std::string LockName(std::string_view state_name) { return StateFolder(state_name) + "/lock"; }
std::string ProbeName(std::string_view state_name) { return StateFolder(state_name) + "/probe"; }

bool IsLeftover(std::string_view name, std::string_view state_name) {
  if (IsMadeFrom(name, ProbeName(state_name))) return true;
  return name.ends_with(".tmp") &&
         (IsMadeFrom(name, MarkName(state_name)) || IsMadeFrom(name, ReportName(state_name)));
}

bool IsState(std::string_view name) { return name.starts_with(std::string(kStateFolder) + "/"); }

bool IsMadeFrom(std::string_view name, std::string_view file) {
  if (!name.starts_with(file)) return false;
  const std::string_view rest = name.substr(file.size());
  return rest.empty() || rest == ".part" || (rest.starts_with('.') && rest.ends_with(".tmp"));
}

Result<std::vector<ObjectInfo>> ListDestination(Store& destination, std::string_view folder) {
  Result<std::vector<ObjectInfo>> objects = destination.List(folder);
  if (objects) return objects;
  Error error = std::move(objects).error();
  if (error.code == Code::kBadInput || error.code == Code::kNotFound)
    error.code = Code::kCannotCreate;
  return Fail(std::move(error));
}

}  // namespace ckpt
