#include "run/chunked_destination.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/text.h"
#include "run/journal.h"
#include "run/mark.h"
#include "run/report.h"
#include "run/report_state.h"

namespace ckpt {
namespace {

struct Survey {
  std::set<std::string> own;         // of an unfinished run of ours: removed without asking
  std::vector<std::string> taken;    // in the outputs' own paths and the state folder
  std::vector<std::string> foreign;  // of taken: in a folder that holds no checkpoint
  std::vector<std::string> markers;  // of taken, in the order in which they go
  bool is_finished_run = false;
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

// What an own run that did not finish has left of its outputs and companions.
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

// What lies in an output's own path and is not an own run's leftover.
Result<void> AddTaken(Store& destination, const ChunkedTarget& target, const std::string& root,
                      Survey& survey) {
  CKPT_TRY(const std::vector<ObjectInfo> objects, ListDestination(destination, root));
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
  const std::string folder = StateFolder(plan.state_name);
  std::optional<Mark> mark = ReadMark(destination, plan.state_name);
  CKPT_TRY(const std::vector<ObjectInfo> state, ListDestination(destination, folder));
  bool has_report = false;
  bool has_journal = false;
  for (const ObjectInfo& object : state) {
    has_report |= object.name == ReportName(plan.state_name);
    has_journal |= object.name.starts_with(folder + "/journal/");
  }
  if (has_report) {
    CKPT_TRY(const ReportState report, ReadReportState(destination, plan.state_name));
    has_report = report.kind != ReportState::Kind::kFailed;
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
    if (object.name == LockName(plan.state_name)) continue;
    if (is_unfinished || IsLeftover(object.name, plan.state_name)) {
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
  const std::string mark = MarkName(plan.state_name);
  for (const std::vector<std::string>* names : {&survey.markers, &survey.taken}) {
    for (const std::string& name : *names) {
      if (name != mark) CKPT_TRY_VOID(destination.Remove(name));
    }
  }
  for (const std::string& name : survey.own) {
    if (name != mark) CKPT_TRY_VOID(destination.Remove(name));
  }
  return destination.Remove(mark);
}

Result<void> MarkDestination(Store& destination, const ChunkedPlan& plan,
                             const std::vector<std::string>& folders) {
  return WriteMark(destination, plan, {.folders = folders, .files = CompanionNames(plan)});
}

Result<void> RemoveOwnObjects(Store& destination, const ChunkedPlan& plan,
                              const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) CKPT_TRY_VOID(destination.RemoveAll(folder));
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
