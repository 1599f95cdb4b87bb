#include "run/chunked_destination.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/text.h"
#include "run/chunked_context.h"
#include "run/journal.h"
#include "run/report.h"

namespace ckpt {
namespace {

constexpr std::string_view kMarkName = ".ckpt-state/state.json";
constexpr uint64_t kMostMarkBytes = 16ULL << 20;
constexpr size_t kMostNames = 5;

// What an own run that did not finish may have left.
struct Mark {
  std::string run_digest;
  std::vector<std::string> folders;  // whole folders: outputs being written
  std::vector<std::string> files;    // companions
};

std::optional<Mark> ReadMark(Store& destination) {
  const Result<std::string> text = ReadSmallObject(destination, kMarkName, kMostMarkBytes);
  if (!text) return std::nullopt;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object() || json.value("program", nlohmann::json()) != "ckpt") return std::nullopt;
  Mark mark;
  if (const auto digest = json.find("run_digest"); digest != json.end() && digest->is_string())
    mark.run_digest = digest->get<std::string>();
  const auto take = [&](const char* key, std::vector<std::string>& into) {
    const auto list = json.find(key);
    if (list == json.end()) return true;
    if (!list->is_array()) return false;
    for (const auto& name : *list) {
      if (!name.is_string() || !SafeName(name.get<std::string>())) return false;
      into.push_back(name.get<std::string>());
    }
    return true;
  };
  if (!take("folders", mark.folders) || !take("files", mark.files)) return std::nullopt;
  return mark;
}

struct Survey {
  std::set<std::string> own;         // of an unfinished run of ours: removed without asking
  std::vector<std::string> taken;    // in the outputs' own paths and the state folder
  std::vector<std::string> foreign;  // of taken: in a folder that holds no checkpoint
  std::vector<std::string> markers;  // of taken, in the order in which they go
  bool is_finished_run = false;
};

Result<std::vector<ObjectInfo>> ListOutput(Store& destination, const std::string& folder) {
  Result<std::vector<ObjectInfo>> objects = destination.List(folder);
  if (objects) return objects;
  Error error = std::move(objects).error();
  // A destination that is no folder is an output that cannot be made, not a damaged source.
  if (error.code == Code::kBadInput || error.code == Code::kNotFound)
    error.code = Code::kCannotCreate;
  return Fail(std::move(error));
}

bool IsPartOf(std::string_view name, const std::string& file) {
  if (!name.starts_with(file)) return false;
  const std::string_view rest = name.substr(file.size());
  return rest.empty() || rest == ".part" || (rest.starts_with('.') && rest.ends_with(".tmp"));
}

// The companions of all outputs, without repeats.
std::vector<std::string> CompanionNames(const ChunkedPlan& plan) {
  std::vector<std::string> names;
  for (const ChunkedOutput& output : plan.outputs) {
    for (const CompanionSpec& companion : output.companions) names.push_back(companion.name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

// What an own run that did not finish has left of its outputs and companions.
Result<void> AddOwn(Store& destination, const Mark& mark, Survey& survey) {
  for (const std::string& folder : mark.folders) {
    CKPT_TRY(const std::vector<ObjectInfo> objects, ListOutput(destination, folder));
    for (const ObjectInfo& object : objects) survey.own.insert(object.name);
  }
  for (const std::string& file : mark.files) {
    const size_t slash = file.rfind('/');
    CKPT_TRY(const std::vector<ObjectInfo> objects,
             ListOutput(destination, slash == std::string::npos ? "" : file.substr(0, slash)));
    for (const ObjectInfo& object : objects) {
      if (IsPartOf(object.name, file)) survey.own.insert(object.name);
    }
  }
  return {};
}

// What lies in an output's own path and is not an own run's leftover.
Result<void> AddTaken(Store& destination, const ChunkedTarget& target, const std::string& root,
                      Survey& survey) {
  CKPT_TRY(const std::vector<ObjectInfo> objects, ListOutput(destination, root));
  std::vector<std::string> names;
  bool is_checkpoint = false;
  for (const ObjectInfo& object : objects) {
    if (survey.own.contains(object.name)) continue;
    names.push_back(object.name);
    if (!target.IsMarker(object.name.substr(root.size() + 1))) continue;
    survey.markers.push_back(object.name);
    is_checkpoint = true;
  }
  survey.taken.insert(survey.taken.end(), names.begin(), names.end());
  if (!is_checkpoint) survey.foreign.insert(survey.foreign.end(), names.begin(), names.end());
  return {};
}

Result<Survey> Look(Store& destination, const ChunkedPlan& plan, const ChunkedTarget& target) {
  Survey survey;
  std::optional<Mark> mark = ReadMark(destination);
  CKPT_TRY(const std::vector<ObjectInfo> state, ListOutput(destination, std::string(kStateFolder)));
  bool has_report = false;
  bool has_journal = false;
  for (const ObjectInfo& object : state) {
    has_report |= object.name == kReportName;
    has_journal |= object.name.starts_with(std::string(kStateFolder) + "/journal/");
  }
  // The report comes before the commit, the journal goes after it.
  const bool is_unfinished = mark.has_value() && (!has_report || has_journal);
  survey.is_finished_run = has_report && !is_unfinished;
  if (is_unfinished) {
    // A stop inside the commit leaves some outputs under their names, whole: this very run makes
    // them again with the same bytes; to any other they are finished checkpoints.
    if (mark->run_digest == plan.run_digest) {
      for (const ChunkedOutput& output : plan.outputs) mark->folders.push_back(output.root);
    }
    CKPT_TRY_VOID(AddOwn(destination, *mark, survey));
  }
  for (const ObjectInfo& object : state) {
    if (is_unfinished) {
      survey.own.insert(object.name);
    } else {
      survey.taken.push_back(object.name);
    }
  }
  for (const ChunkedOutput& output : plan.outputs)
    CKPT_TRY_VOID(AddTaken(destination, target, output.root, survey));
  return survey;
}

tl::unexpected<Error> Refusal(const Store& destination, const Survey& survey, bool is_overwriting) {
  const std::vector<std::string>& names = is_overwriting            ? survey.foreign
                                          : !survey.markers.empty() ? survey.markers
                                                                    : survey.taken;
  Error error{Code::kCannotCreate,
              is_overwriting ? fmt::format("the destination holds files of no checkpoint: {}",
                                           ListSome(names, kMostNames))
              : survey.is_finished_run || !survey.markers.empty()
                  ? fmt::format("the destination holds a finished checkpoint: {}",
                                ListSome(names, kMostNames))
                  : fmt::format("the destination is not empty: {}", ListSome(names, kMostNames)),
              {},
              {},
              is_overwriting
                  ? "name an empty or new folder, or remove these files yourself"
                  : "name an empty or new folder, or give --overwrite to replace what lies there"};
  error.where.push_back({"folder", destination.root().Print()});
  return Fail(std::move(error));
}

Result<void> Allow(const Store& destination, const Survey& survey, bool is_overwriting) {
  if (is_overwriting ? !survey.foreign.empty() : !survey.taken.empty())
    return Refusal(destination, survey, is_overwriting);
  return {};
}

}  // namespace

std::vector<std::string> WorkFolders(const ChunkedPlan& plan, const ChunkedTarget& target,
                                     const Store& destination) {
  std::vector<std::string> folders;
  for (const ChunkedOutput& output : plan.outputs) {
    std::string root = output.root;
    if (destination.RenamesFolders()) root += "." + target.TemporarySuffix(plan);
    folders.push_back(std::move(root));
  }
  return folders;
}

Result<void> CheckDestination(Store& destination, const ChunkedPlan& plan,
                              const ChunkedTarget& target, bool is_overwriting) {
  if (!destination.KeepsObjects()) return {};
  CKPT_TRY(const Survey survey, Look(destination, plan, target));
  return Allow(destination, survey, is_overwriting);
}

Result<void> ClearDestination(Store& destination, const ChunkedPlan& plan,
                              const ChunkedTarget& target, bool is_overwriting) {
  if (!destination.KeepsObjects()) return {};
  CKPT_TRY(const Survey survey, Look(destination, plan, target));
  CKPT_TRY_VOID(Allow(destination, survey, is_overwriting));
  // Beyond this point the old output is given up: first what makes a loader accept it. The mark
  // goes last: until then what is left is known as ours, also to a run after a kill.
  for (const std::vector<std::string>* names : {&survey.markers, &survey.taken}) {
    for (const std::string& name : *names) {
      if (name != kMarkName) CKPT_TRY_VOID(destination.Remove(name));
    }
  }
  for (const std::string& name : survey.own) {
    if (name != kMarkName) CKPT_TRY_VOID(destination.Remove(name));
  }
  return destination.Remove(kMarkName);
}

Result<void> MarkDestination(Store& destination, const ChunkedPlan& plan,
                             const std::vector<std::string>& folders) {
  nlohmann::ordered_json mark;
  mark["schema_version"] = 1;
  mark["program"] = "ckpt";
  mark["target"] = plan.target;
  mark["run_digest"] = plan.run_digest;
  mark["folders"] = folders;
  mark["files"] = CompanionNames(plan);
  CKPT_TRY_VOID(
      WriteSmallObject(destination, kMarkName, mark.dump(1) + "\n", {.is_create_only = true}));
  return {};
}

Result<void> RemoveOwnObjects(Store& destination, const ChunkedPlan& plan,
                              const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) CKPT_TRY_VOID(destination.RemoveAll(folder));
  CKPT_TRY(const std::vector<ObjectInfo> state, destination.List(kStateFolder));
  for (const ObjectInfo& object : state) {
    if (object.name != kMarkName) CKPT_TRY_VOID(destination.Remove(object.name));
  }
  for (const std::string& name : CompanionNames(plan)) CKPT_TRY_VOID(destination.Remove(name));
  return destination.Remove(kMarkName);
}

}  // namespace ckpt
