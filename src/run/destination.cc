#include "run/destination.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "run/mark.h"
#include "run/report.h"

namespace ckpt {
namespace {

std::vector<std::string> OwnFiles(const Plan& plan) {
  std::vector<std::string> files = {plan.output.file.name};
  for (const CompanionSpec& companion : plan.output.companions) files.push_back(companion.name);
  return files;
}

// Whether the object is one of these files, or on its way to become one.
bool IsMadeFromAny(std::string_view name, const std::vector<std::string>& files) {
  return std::any_of(files.begin(), files.end(),
                     [&](const std::string& file) { return IsMadeFrom(name, file); });
}

struct Survey {
  std::vector<std::string> markers;  // what a loader would take for a checkpoint
  std::vector<std::string> own;      // of our state or an unfinished run
  std::vector<std::string> foreign;
  bool is_finished_run = false;
};

Result<Survey> Look(Store& destination, const Target& target) {
  CKPT_TRY(const std::vector<ObjectInfo> objects, ListDestination(destination, ""));
  const std::optional<Mark> mark = ReadMark(destination);
  Survey survey;
  for (const ObjectInfo& object : objects) {
    if (object.name == LockName()) continue;
    if (target.IsMarker(object.name)) {
      survey.markers.push_back(object.name);
    } else if (IsLeftover(object.name) ||
               (mark && (IsState(object.name) || IsMadeFromAny(object.name, mark->files)))) {
      survey.own.push_back(object.name);
    } else {
      survey.foreign.push_back(object.name);
    }
    survey.is_finished_run |= object.name == ReportName();
  }
  survey.is_finished_run &= mark.has_value() && !survey.markers.empty();
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
    if (name != MarkName()) CKPT_TRY_VOID(destination.Remove(name));
  }
  const std::vector<std::string> files = OwnFiles(plan);
  std::vector<std::string> kept;
  for (const std::string& name : survey.foreign) {
    if (name == MarkName()) continue;
    if (IsState(name) || IsMadeFromAny(name, files)) {
      CKPT_TRY_VOID(destination.Remove(name));
    } else {
      kept.push_back(name);
    }
  }
  CKPT_TRY_VOID(destination.Remove(MarkName()));
  std::vector<std::string> warnings;
  if (!kept.empty())
    warnings.push_back(
        fmt::format("left in the destination as they were: {}", ListSome(kept, kMostNames)));
  return warnings;
}

Result<void> MarkDestination(Store& destination, const Plan& plan) {
  return WriteMark(destination, plan, {.files = OwnFiles(plan)});
}

Result<void> RemoveOwnObjects(Store& destination, const Plan& plan) {
  CKPT_TRY(const std::vector<ObjectInfo> objects, destination.List(""));
  const std::vector<std::string> files = OwnFiles(plan);
  // The mark goes last: until then what is left is known as ours.
  for (const ObjectInfo& object : objects) {
    if (object.name == MarkName() || object.name == LockName()) continue;
    if (IsState(object.name) || IsMadeFromAny(object.name, files))
      CKPT_TRY_VOID(destination.Remove(object.name));
  }
  return destination.Remove(MarkName());
}

}  // namespace ckpt
