#include "run/chunked_destination.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/text.h"
#include "run/find_object.h"
#include "run/journal.h"
#include "run/mark.h"
#include "run/report.h"
#include "run/report_state.h"

namespace ckpt {
namespace {

struct Survey {
  std::set<std::string> own;         // left by a run that failed: removed without asking
  std::vector<std::string> taken;    // in the outputs' own paths and the state folder
  std::vector<std::string> foreign;  // of taken: in a folder that holds no checkpoint
  std::vector<std::string> markers;  // of taken, in the order in which they go
  Standing standing = Standing::kUnmarked;
  bool has_mark = false;     // anybody's
  bool is_own_mark = false;  // of this very run, finished or not
};

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

// What a run that did not finish has left of its outputs and companions.
Result<void> AddOwn(Store& destination, const Mark& mark, Survey& survey) {
  for (const std::string& folder : mark.folders) {
    CKPT_TRY(const std::vector<ObjectInfo> objects, ListDestination(destination, folder));
    for (const ObjectInfo& object : objects) survey.own.insert(object.name);
  }
  for (const std::string& file : mark.files) {
    const size_t slash = file.rfind('/');
    CKPT_TRY(const std::vector<ObjectInfo> objects,
             ListDestination(destination, slash == std::string::npos ? "" : file.substr(0, slash)));
    for (const ObjectInfo& object : objects) {
      if (IsMadeFrom(object.name, file)) survey.own.insert(object.name);
    }
  }
  return {};
}

// Data files that this very run would write, by their names: nobody else's have them.
std::set<std::string> DataFilesOf(const ChunkedPlan& plan, const ChunkedTarget& target,
                                  size_t output) {
  std::set<std::string> names;
  const ChunkedOutput& spec = plan.outputs[output];
  if (spec.is_object_per_chunk) return names;
  for (uint32_t number = 0; number <= plan.bundles.size(); ++number)
    names.insert(Below(spec.root, target.DataFileName(plan, output, number)));
  return names;
}

// What lies in an output's own path and is not an own run's leftover. Without a mark that may be a
// data file that a service has carried out after a failed run had removed all.
Result<void> AddTaken(Store& destination, const ChunkedPlan& plan, const ChunkedTarget& target,
                      size_t output, Survey& survey) {
  const std::string& root = plan.outputs[output].root;
  CKPT_TRY(const std::vector<ObjectInfo> objects, ListDestination(destination, root));
  if (!survey.has_mark && !objects.empty()) {
    const std::set<std::string> data_files = DataFilesOf(plan, target, output);
    if (std::all_of(objects.begin(), objects.end(),
                    [&](const ObjectInfo& object) { return data_files.contains(object.name); })) {
      for (const ObjectInfo& object : objects) survey.own.insert(object.name);
      return {};
    }
  }
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

Result<Survey> LookOnce(Store& destination, const ChunkedPlan& plan, const ChunkedTarget& target,
                        const std::optional<Mark>& mark) {
  Survey survey;
  CKPT_TRY(survey.standing, StandingOf(destination, mark, plan));
  survey.is_own_mark = mark && mark->run_digest == plan.run_digest;
  // All that lies below its outputs and its state folder is its own, also what another process of
  // it makes at this moment; a stop inside the commit leaves some outputs under their names, whole.
  if (survey.standing == Standing::kOwnUnfinished) return survey;
  CKPT_TRY(const std::vector<ObjectInfo> state,
           ListDestination(destination, StateFolder(plan.state_name)));
  survey.has_mark = mark || std::any_of(state.begin(), state.end(), [&](const ObjectInfo& object) {
                      return object.name == MarkName(plan.state_name);
                    });
  // Of a run that failed before it made anything: its mark and its report. Beside a mark of an
  // unfinished or finished run the report decides nothing.
  ReportState report;
  if (survey.standing == Standing::kUnmarked) {
    CKPT_TRY(report, ReadReportState(destination, plan.state_name));
  }
  const bool has_only_failed =
      mark && survey.standing == Standing::kUnmarked && report.kind == ReportState::Kind::kFailed;
  if (has_only_failed) CKPT_TRY_VOID(AddOwn(destination, *mark, survey));
  for (const ObjectInfo& object : state) {
    if (object.name == LockName(plan.state_name)) continue;
    if (has_only_failed || IsLeftover(object.name, plan.state_name) ||
        (!survey.has_mark && IsStray(object.name, report, plan.state_name))) {
      survey.own.insert(object.name);
    } else {
      survey.taken.push_back(object.name);
    }
  }
  if (survey.standing == Standing::kOthersUnfinished) {
    Survey others;
    CKPT_TRY_VOID(AddOwn(destination, *mark, others));
    survey.taken.insert(survey.taken.end(), others.own.begin(), others.own.end());
  }
  for (size_t o = 0; o < plan.outputs.size(); ++o)
    CKPT_TRY_VOID(AddTaken(destination, plan, target, o, survey));
  return survey;
}

// What is in the way is looked at again where the mark was set or removed between two requests:
// another process of this very run began, or one ended.
Result<Survey> Look(Store& destination, const ChunkedPlan& plan, const ChunkedTarget& target) {
  for (int looks = 1;; ++looks) {
    CKPT_TRY(const std::optional<Mark> mark, ReadMark(destination, plan.state_name));
    CKPT_TRY(Survey survey, LookOnce(destination, plan, target, mark));
    if (survey.taken.empty() || looks == kMostLooks) return survey;
    CKPT_TRY(const bool has_changed, HasMarkChanged(destination, mark, plan.state_name));
    if (!has_changed) return survey;
  }
}

tl::unexpected<Error> RefuseForeign(const Store& destination, const Survey& survey) {
  Error error{Code::kCannotCreate,
              fmt::format("the destination holds files of no checkpoint: {}",
                          ListSome(survey.foreign, kMostNames)),
              {},
              {},
              "name an empty or new folder, or remove these files yourself"};
  error.where.push_back({"folder", destination.root().Print()});
  return Fail(std::move(error));
}

Result<void> Allow(const Store& destination, const Survey& survey, bool is_overwriting) {
  if (is_overwriting) {
    if (!survey.foreign.empty()) return RefuseForeign(destination, survey);
    return {};
  }
  if (survey.taken.empty()) return {};
  // A checkpoint of whomever is a finished one.
  const bool has_checkpoint = !survey.markers.empty() && survey.standing == Standing::kUnmarked;
  return RefuseDestination(destination, has_checkpoint ? Standing::kFinished : survey.standing,
                           survey.markers.empty() ? survey.taken : survey.markers);
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

Result<bool> ClearDestination(Store& destination, const ChunkedPlan& plan,
                              const ChunkedTarget& target, bool is_overwriting) {
  if (!destination.KeepsObjects()) return false;
  CKPT_TRY(const Survey survey, Look(destination, plan, target));
  CKPT_TRY_VOID(Allow(destination, survey, is_overwriting));
  if (survey.standing == Standing::kOwnUnfinished) return true;
  // Beyond this point the old output is given up: first what makes a loader accept it. The mark
  // goes last: until then what is left is known as ours, also to a run after a kill. One that
  // another process of this very run has set meanwhile is the sign that all is cleared.
  const std::string mark = MarkName(plan.state_name);
  std::vector<std::string> names = survey.markers;
  names.insert(names.end(), survey.taken.begin(), survey.taken.end());
  names.insert(names.end(), survey.own.begin(), survey.own.end());
  for (const std::string& name : names) {
    if (name == mark) continue;
    CKPT_TRY(const bool is_cleared, IsMarkedAnew(destination, plan, survey.is_own_mark));
    if (is_cleared) return true;
    CKPT_TRY_VOID(destination.Remove(name));
  }
  if (!survey.has_mark) return false;
  CKPT_TRY(const bool is_cleared, IsMarkedAnew(destination, plan, survey.is_own_mark));
  if (!is_cleared) CKPT_TRY_VOID(destination.Remove(mark));
  return false;
}

Result<std::vector<bool>> CommittedOutputs(Store& destination, const ChunkedPlan& plan,
                                           const ChunkedTarget& target) {
  std::vector<bool> committed;
  for (const ChunkedOutput& output : plan.outputs) {
    CKPT_TRY(const std::optional<ObjectInfo> done,
             FindObject(destination, Below(output.root, target.DoneName())));
    committed.push_back(done.has_value());
  }
  return committed;
}

Result<bool> IsCommitted(Store& destination, const ChunkedPlan& plan, const ChunkedTarget& target) {
  CKPT_TRY(const bool has_report, HasReportOf(destination, plan));
  if (!has_report) return false;
  CKPT_TRY(const std::vector<bool> committed, CommittedOutputs(destination, plan, target));
  return std::all_of(committed.begin(), committed.end(), [](bool is) { return is; });
}

Result<void> TidyUp(Store& destination, const ChunkedPlan& plan, const ChunkedTarget& target) {
  const std::vector<std::string> folders = WorkFolders(plan, target, destination);
  for (size_t o = 0; o < folders.size(); ++o) {
    const std::string& root = plan.outputs[o].root;
    if (folders[o] != root) CKPT_TRY_VOID(destination.RemoveAll(folders[o]));
    // Of killed runs, which cost storage and are seen in no listing.
    CKPT_TRY_VOID(destination.DropUnfinishedBelow(root));
  }
  return Journal(destination, plan.run_digest, plan.state_name).Clear();
}

Result<void> MarkDestination(Store& destination, const ChunkedPlan& plan,
                             const ChunkedTarget& target, const std::vector<std::string>& folders) {
  Mark mark{.folders = folders, .files = CompanionNames(plan), .bundles = plan.bundles.size() + 1};
  for (const ChunkedOutput& output : plan.outputs)
    mark.done.push_back(Below(output.root, target.DoneName()));
  return WriteMark(destination, plan, mark);
}

Result<void> RemoveOwnObjects(Store& destination, const ChunkedPlan& plan,
                              const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) CKPT_TRY_VOID(destination.RemoveAll(folder));
  CKPT_TRY_VOID(destination.RemoveAll(TemporaryFolder(plan.state_name)));
  const std::string mark = MarkName(plan.state_name);
  CKPT_TRY(const std::vector<ObjectInfo> state, destination.List(StateFolder(plan.state_name)));
  for (const ObjectInfo& object : state) {
    if (object.name != mark && object.name != LockName(plan.state_name))
      CKPT_TRY_VOID(destination.Remove(object.name));
  }
  for (const std::string& name : CompanionNames(plan)) CKPT_TRY_VOID(destination.Remove(name));
  return destination.Remove(mark);
}

}  // namespace ckpt
