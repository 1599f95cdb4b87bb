#include "run/destination.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"
#include "run/find_object.h"
#include "run/journal.h"
#include "run/mark.h"
#include "run/report.h"
#include "run/report_state.h"
#include "run/unfinished_file.h"

namespace ckpt {
namespace {

std::vector<std::string> OwnFiles(const Plan& plan) {
  std::vector<std::string> files;
  files.reserve(plan.output.files.size() + plan.output.companions.size() + 1);
  for (const FileSpec& file : plan.output.files) files.push_back(file.name);
  for (const CompanionSpec& companion : plan.output.companions) files.push_back(companion.name);
  if (plan.output.marker) files.push_back(plan.output.marker->name);
  return files;
}

struct Survey {
  std::vector<std::string> markers;  // what a loader would take for a checkpoint
  std::vector<std::string> own;      // of our state or an unfinished run
  std::vector<std::string> foreign;
  Standing standing = Standing::kUnmarked;
  bool has_mark = false;     // anybody's
  bool is_own_mark = false;  // of this very run, finished or not
};

bool IsFree(const Survey& survey) {
  return survey.markers.empty() && survey.foreign.empty() &&
         survey.standing != Standing::kOthersUnfinished;
}

Result<Survey> LookOnce(Store& destination, const Plan& plan, const Target& target,
                        const std::optional<Mark>& mark) {
  CKPT_TRY(const std::vector<ObjectInfo> objects, ListDestination(destination, ""));
  Survey survey;
  CKPT_TRY(survey.standing, StandingOf(destination, mark, plan));
  survey.is_own_mark = mark && mark->run_digest == plan.run_digest;
  const std::vector<std::string> files = OwnFiles(plan);
  const auto has = [&](const std::string& name) {
    return std::any_of(objects.begin(), objects.end(),
                       [&](const ObjectInfo& object) { return object.name == name; });
  };
  survey.has_mark = mark || has(MarkName());
  ReportState report;
  if (!survey.has_mark && has(ReportName())) {
    CKPT_TRY(report, ReadReportState(destination));
  }
  for (const ObjectInfo& object : objects) {
    if (object.name == LockName()) continue;
    // A commit that was cut short leaves some under their names, whole.
    const bool is_ours_by_now = survey.standing == Standing::kOwnUnfinished &&
                                object.name != plan.output.LastName() &&
                                std::find(files.begin(), files.end(), object.name) != files.end();
    if (target.IsMarker(object.name) && !is_ours_by_now) {
      survey.markers.push_back(object.name);
    } else if (IsLeftover(object.name) || (!survey.has_mark && IsStray(object.name, report)) ||
               (mark && (IsState(object.name) || IsMadeFromAny(object.name, mark->files)))) {
      survey.own.push_back(object.name);
    } else {
      survey.foreign.push_back(object.name);
    }
  }
  return survey;
}

// What is in the way is looked at again where the mark was set or removed between two requests:
// another process of this very run began, or one ended.
Result<Survey> Look(Store& destination, const Plan& plan, const Target& target) {
  for (int looks = 1;; ++looks) {
    CKPT_TRY(const std::optional<Mark> mark, ReadMark(destination));
    CKPT_TRY(Survey survey, LookOnce(destination, plan, target, mark));
    if (IsFree(survey) || looks == kMostLooks) return survey;
    CKPT_TRY(const bool has_changed, HasMarkChanged(destination, mark));
    if (!has_changed) return survey;
  }
}

Result<void> Allow(const Store& destination, const Survey& survey, bool is_overwriting) {
  if (IsFree(survey) || is_overwriting) return {};
  std::vector<std::string> names = survey.markers;
  names.insert(names.end(), survey.foreign.begin(), survey.foreign.end());
  if (names.empty()) names = survey.own;
  return RefuseDestination(destination, survey.standing, names);
}

}  // namespace

Result<void> CheckDestination(Store& destination, const Plan& plan, const Target& target,
                              bool is_overwriting) {
  CKPT_TRY(const Survey survey, Look(destination, plan, target));
  return Allow(destination, survey, is_overwriting);
}

Result<Cleared> ClearDestination(Store& destination, const Plan& plan, const Target& target,
                                 bool is_overwriting) {
  CKPT_TRY(const Survey survey, Look(destination, plan, target));
  CKPT_TRY_VOID(Allow(destination, survey, is_overwriting));
  Cleared cleared;
  // Beyond this point the old output is given up: first what makes a loader accept it.
  for (const std::string& name : survey.markers) CKPT_TRY_VOID(destination.Remove(name));
  cleared.is_resuming = survey.standing == Standing::kOwnUnfinished;
  const std::vector<std::string> files = OwnFiles(plan);
  std::vector<std::string> kept;
  for (const std::string& name : survey.foreign) {
    if (!cleared.is_resuming && (IsState(name) || IsMadeFromAny(name, files))) {
      if (name != MarkName()) CKPT_TRY_VOID(destination.Remove(name));
    } else {
      kept.push_back(name);
    }
  }
  if (!kept.empty())
    cleared.warnings.push_back(
        fmt::format("left in the destination as they were: {}", ListSome(kept, kMostNames)));
  if (cleared.is_resuming) return cleared;
  // The mark goes last: until then what is left is known as ours, also to a run after a kill. One
  // that another process of this very run has set meanwhile is the sign that all is cleared.
  bool has_dropped = false;
  for (const std::string& name : survey.own) {
    CKPT_TRY(const bool is_cleared, IsMarkedAnew(destination, plan, survey.is_own_mark));
    if (is_cleared) return cleared;
    if (!std::exchange(has_dropped, true))
      CKPT_TRY_VOID(DropUnfinishedFiles(destination, plan.state_name));
    if (name != MarkName()) CKPT_TRY_VOID(destination.Remove(name));
  }
  if (!survey.has_mark) return cleared;
  CKPT_TRY(const bool is_cleared, IsMarkedAnew(destination, plan, survey.is_own_mark));
  if (!is_cleared) CKPT_TRY_VOID(destination.Remove(MarkName()));
  return cleared;
}

Result<void> MarkDestination(Store& destination, const Plan& plan) {
  return WriteMark(destination, plan,
                   {.files = OwnFiles(plan),
                    .done = {plan.output.LastName()},
                    .bundles = plan.bundles.size() + 1});
}

Result<bool> IsCommitted(Store& destination, const Plan& plan) {
  CKPT_TRY(const bool has_report, HasReportOf(destination, plan));
  if (!has_report) return false;
  if (plan.output.marker) {
    CKPT_TRY(const bool is_marked,
             HasObject(destination, plan.output.marker->name, plan.output.marker->text->size()));
    if (!is_marked) return false;
  }
  for (const FileSpec& file : plan.output.files) {
    CKPT_TRY(const bool is_whole, HasObject(destination, file.name, file.size_bytes));
    if (!is_whole) return false;
  }
  return true;
}

Result<void> TidyUp(Store& destination, const Plan& plan) {
  // What files were made of outlives a process that is killed right behind the commit.
  CKPT_TRY_VOID(DropUnfinishedFiles(destination, plan.state_name));
  // Of runs that were killed before they told of their uploads.
  for (const FileSpec& file : plan.output.files)
    CKPT_TRY_VOID(destination.DropUnfinishedBelow(file.name));
  return Journal(destination, plan.run_digest, plan.state_name).Clear();
}

Result<void> RemoveOwnObjects(Store& destination, const Plan& plan) {
  CKPT_TRY_VOID(DropUnfinishedFiles(destination, plan.state_name));
  // Several are begun one after the other, before the note that tells of them.
  if (plan.output.files.size() > 1) {
    for (const FileSpec& file : plan.output.files)
      CKPT_TRY_VOID(destination.DropUnfinishedBelow(file.name));
  }
  CKPT_TRY_VOID(destination.RemoveAll(TemporaryFolder(plan.state_name)));
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
