#include "run/destination.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"
#include "run/journal.h"
#include "run/report.h"

namespace ckpt {
namespace {

constexpr std::string_view kMarkName = ".ckpt-state/state.json";
constexpr uint64_t kMostMarkBytes = 16ULL << 20;
constexpr size_t kMostNames = 5;

std::vector<std::string> OwnFiles(const Plan& plan) {
  std::vector<std::string> files = {plan.output.file.name};
  for (const CompanionSpec& companion : plan.output.companions) files.push_back(companion.name);
  return files;
}

// Files that an own run without its marker may have left, by its mark; nothing where the mark is
// missing or foreign.
std::optional<std::vector<std::string>> MarkedFiles(Store& destination) {
  const Result<std::string> text = ReadSmallObject(destination, kMarkName, kMostMarkBytes);
  if (!text) return std::nullopt;
  const auto mark = nlohmann::json::parse(*text, nullptr, false);
  if (!mark.is_object() || mark.value("program", "") != "ckpt" || !mark.contains("files") ||
      !mark["files"].is_array())
    return std::nullopt;
  std::vector<std::string> files;
  for (const auto& file : mark["files"]) {
    if (!file.is_string()) return std::nullopt;
    files.push_back(file.get<std::string>());
  }
  return files;
}

bool IsState(std::string_view name) { return name.starts_with(std::string(kStateFolder) + "/"); }

// NAME, NAME.part and the temporary NAME.*.tmp of one of `files`.
bool IsMadeFrom(std::string_view name, const std::vector<std::string>& files) {
  return std::any_of(files.begin(), files.end(), [&](const std::string& file) {
    if (!name.starts_with(file)) return false;
    const std::string_view rest = name.substr(file.size());
    return rest.empty() || rest == ".part" || (rest.starts_with('.') && rest.ends_with(".tmp"));
  });
}

struct Survey {
  std::vector<std::string> markers;  // what a loader would take for a checkpoint
  std::vector<std::string> own;      // of our state or an unfinished run
  std::vector<std::string> foreign;
  bool is_finished_run = false;
};

Result<Survey> Look(Store& destination, const Target& target) {
  Result<std::vector<ObjectInfo>> objects = destination.List("");
  if (!objects) {
    Error error = std::move(objects).error();
    // A destination that is no folder is an output that cannot be made, not a damaged source.
    if (error.code == Code::kBadInput || error.code == Code::kNotFound)
      error.code = Code::kCannotCreate;
    return Fail(std::move(error));
  }
  const std::optional<std::vector<std::string>> marked = MarkedFiles(destination);
  Survey survey;
  for (const ObjectInfo& object : *objects) {
    if (target.IsMarker(object.name)) {
      survey.markers.push_back(object.name);
    } else if (marked && (IsState(object.name) || IsMadeFrom(object.name, *marked))) {
      survey.own.push_back(object.name);
    } else {
      survey.foreign.push_back(object.name);
    }
    survey.is_finished_run |= object.name == kReportName;
  }
  survey.is_finished_run &= marked.has_value() && !survey.markers.empty();
  return survey;
}

tl::unexpected<Error> Refusal(const Store& destination, const Survey& survey) {
  std::vector<std::string> names = survey.markers;
  names.insert(names.end(), survey.foreign.begin(), survey.foreign.end());
  if (names.empty()) names = survey.own;
  Error error{Code::kCannotCreate,
              survey.is_finished_run
                  ? fmt::format("the destination holds a finished checkpoint: {}",
                                ListSome(names, kMostNames))
                  : fmt::format("the destination is not empty: {}", ListSome(names, kMostNames)),
              {},
              {},
              "name an empty or new folder, or give --overwrite to replace what lies there"};
  error.where.push_back({"folder", destination.root().Print()});
  return Fail(std::move(error));
}

bool IsFree(const Survey& survey) { return survey.markers.empty() && survey.foreign.empty(); }

}  // namespace

Result<void> CheckDestination(Store& destination, const Target& target, bool is_overwriting) {
  CKPT_TRY(const Survey survey, Look(destination, target));
  if (!IsFree(survey) && !is_overwriting) return Refusal(destination, survey);
  return {};
}

Result<std::vector<std::string>> ClearDestination(Store& destination, const Plan& plan,
                                                  const Target& target, bool is_overwriting) {
  CKPT_TRY(const Survey survey, Look(destination, target));
  if (!IsFree(survey) && !is_overwriting) return Refusal(destination, survey);
  // Beyond this point the old output is given up: first what makes a loader accept it.
  for (const std::string& name : survey.markers) CKPT_TRY_VOID(destination.Remove(name));
  // The mark goes last: until then what is left is known as ours, also to a run after a kill.
  for (const std::string& name : survey.own) {
    if (name != kMarkName) CKPT_TRY_VOID(destination.Remove(name));
  }
  const std::vector<std::string> files = OwnFiles(plan);
  std::vector<std::string> kept;
  for (const std::string& name : survey.foreign) {
    if (name == kMarkName) continue;
    if (IsState(name) || IsMadeFrom(name, files)) {
      CKPT_TRY_VOID(destination.Remove(name));
    } else {
      kept.push_back(name);
    }
  }
  CKPT_TRY_VOID(destination.Remove(kMarkName));
  std::vector<std::string> warnings;
  if (!kept.empty())
    warnings.push_back(
        fmt::format("left in the destination as they were: {}", ListSome(kept, kMostNames)));
  return warnings;
}

Result<void> MarkDestination(Store& destination, const Plan& plan) {
  nlohmann::ordered_json mark;
  mark["schema_version"] = 1;
  mark["program"] = "ckpt";
  mark["target"] = plan.target;
  mark["run_digest"] = plan.run_digest;
  mark["files"] = OwnFiles(plan);
  CKPT_TRY_VOID(
      WriteSmallObject(destination, kMarkName, mark.dump(1) + "\n", {.is_create_only = true}));
  return {};
}

Result<void> RemoveOwnObjects(Store& destination, const Plan& plan) {
  CKPT_TRY(const std::vector<ObjectInfo> objects, destination.List(""));
  const std::vector<std::string> files = OwnFiles(plan);
  // The mark goes last: until then what is left is known as ours.
  for (const ObjectInfo& object : objects) {
    if (object.name != kMarkName && (IsState(object.name) || IsMadeFrom(object.name, files)))
      CKPT_TRY_VOID(destination.Remove(object.name));
  }
  return destination.Remove(kMarkName);
}

}  // namespace ckpt
