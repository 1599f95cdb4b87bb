#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plan/plan_base.h"
#include "store/store.h"

namespace ckpt {

struct ReportState;

/// What a run leaves before its first byte, so that a next run knows an unfinished one as ours
/// (docs/formats/journal.md).
struct Mark {
  std::string run_digest = {};
  std::vector<std::string> folders = {};  ///< whole folders that are ours
  std::vector<std::string> files = {};    ///< single objects
  std::vector<std::string> done = {};     ///< objects that stand under these names once all outputs
                                          ///< are committed, and never before
  std::string target = {};
  std::string source = {};     ///< as printed
  uint64_t bundles = 0;        ///< of the plan, the last one (of the commit) included
  uint64_t written_bytes = 0;  ///< in all
};

/// Whether everything that the mark's run was to commit stands under its name.
Result<bool> IsAllThere(Store& destination, const Mark& mark);

/// A mark larger than this is none of ours.
inline constexpr uint64_t kMostMarkBytes = 16ULL << 20;

/// The mark's name in a destination: ".ckpt-state/state.json", or in the state folder of a run that
/// shares its destination.
std::string MarkName(std::string_view state_name = "");

/// The destination's mark; nothing where it is missing, damaged or foreign. Errors: those of the
/// store. A mark that cannot be read now is not taken for none: what lies there may be ours, or
/// another run's.
Result<std::optional<Mark>> ReadMark(Store& destination, std::string_view state_name = "");
/// Writes the mark of a run into its state folder. One of the same run that lies there already (of
/// another shard, or an earlier start) is success; of any other, kTemporary: both began at once.
Result<void> WriteMark(Store& destination, const PlanBase& plan, const Mark& mark);
/// Puts another mark in the place of the one that is there, in one step.
Result<void> ReplaceMark(Store& destination, std::string_view state_name, const Mark& mark);

/// Whether the destination's mark is another now than the one that was seen, or has gone: another
/// process has begun or ended there meanwhile.
Result<bool> HasMarkChanged(Store& destination, const std::optional<Mark>& seen,
                            std::string_view state_name = "");
/// How often a destination is looked at while its mark changes.
inline constexpr int kMostLooks = 5;

/// Whether the destination's mark is that of this very run.
Result<bool> IsMarkOf(Store& destination, const PlanBase& plan);
/// Whether another process of this very run has set its mark since a survey; `had_mark`: the survey
/// saw one of this run already, which then says nothing.
Result<bool> IsMarkedAnew(Store& destination, const PlanBase& plan, bool had_mark);

/// Whose a destination is, by its mark.
enum class Standing : uint8_t {
  kUnmarked,          ///< nobody's, or of a run that failed before it made anything
  kOwnUnfinished,     ///< this very run began there: same source, same settings
  kOthersUnfinished,  ///< a run of another source or other settings began there
  kFinished,          ///< a finished run's
};
Result<Standing> StandingOf(Store& destination, const std::optional<Mark>& mark,
                            const PlanBase& plan);
/// kCannotCreate naming what lies there and what to do. `names`: the objects in the way.
tl::unexpected<Error> RefuseDestination(const Store& destination, Standing standing,
                                        std::span<const std::string> names);

/// The name of what keeps a second run out while one is at work; of no other meaning.
std::string LockName(std::string_view state_name = "");
/// What may lie in a state folder without a mark: the probe of a run that was killed at its very
/// beginning, its mark or report under a temporary name, beside it or in the temporary folder; and
/// what a shard said of itself, which a service may carry out after the run has failed and removed
/// all. Never in the way of a next run.
bool IsLeftover(std::string_view name, std::string_view state_name = "");
/// What of a state folder means nothing where no mark is: records, their side values, the note of
/// unfinished files, and the report if it tells of a failure (`report`: what it says). A service
/// may carry out so late what a run had asked for that it has failed and removed all since, the
/// mark last.
bool IsStray(std::string_view name, const ReportState& report, std::string_view state_name = "");
std::string ProbeName(std::string_view state_name = "");

/// An object of the state folder.
bool IsState(std::string_view name);
/// FILE, FILE.part or the temporary FILE.PID-RANDOM.tmp.
bool IsMadeFrom(std::string_view name, std::string_view file);
bool IsMadeFromAny(std::string_view name, std::span<const std::string> files);

/// Objects of a destination's folder. A destination that is no folder is an output that cannot be
/// made, not a damaged source: kCannotCreate.
Result<std::vector<ObjectInfo>> ListDestination(Store& destination, std::string_view folder);

/// Names shown in messages about a destination.
inline constexpr size_t kMostNames = 5;

}  // namespace ckpt
