#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/plan_base.h"
#include "store/store.h"

namespace ckpt {

/// What a run leaves before its first byte, so that a next run knows an unfinished one as ours
/// (docs/formats/journal.md).
struct Mark {
  std::string run_digest = {};
  std::vector<std::string> folders = {};  ///< whole folders that are ours
  std::vector<std::string> files = {};    ///< single objects
};

/// The mark's name in a destination: ".ckpt-state/state.json", or in the state folder of a run that
/// shares its destination.
std::string MarkName(std::string_view state_name = "");

/// The destination's mark; nothing where it is missing, damaged or foreign.
std::optional<Mark> ReadMark(Store& destination, std::string_view state_name = "");
/// Writes the mark of a run into its state folder; create-only.
Result<void> WriteMark(Store& destination, const PlanBase& plan, const Mark& mark);

/// The name of what keeps a second run out while one is at work; of no other meaning.
std::string LockName(std::string_view state_name = "");
/// What a run that was killed at its very beginning may leave in its state folder: its probe, and
/// its mark or report under a temporary name. Never in the way of a next run.
bool IsLeftover(std::string_view name, std::string_view state_name = "");
std::string ProbeName(std::string_view state_name = "");

/// An object of the state folder.
bool IsState(std::string_view name);
/// FILE, FILE.part or the temporary FILE.*.tmp.
bool IsMadeFrom(std::string_view name, std::string_view file);

/// Objects of a destination's folder. A destination that is no folder is an output that cannot be
/// made, not a damaged source: kCannotCreate.
Result<std::vector<ObjectInfo>> ListDestination(Store& destination, std::string_view folder);

/// Names shown in messages about a destination.
inline constexpr size_t kMostNames = 5;

}  // namespace ckpt
