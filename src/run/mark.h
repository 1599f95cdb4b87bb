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

inline constexpr std::string_view kMarkName = ".ckpt-state/state.json";

/// The destination's mark; nothing where it is missing, damaged or foreign.
std::optional<Mark> ReadMark(Store& destination);
/// Writes the mark of a run; create-only.
Result<void> WriteMark(Store& destination, const PlanBase& plan, const Mark& mark);

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
