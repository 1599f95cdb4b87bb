#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "run/diff_plan.h"
#include "run/execute.h"
#include "run/ulp.h"

namespace ckpt {

/// What became of one pair.
struct RoleOutcome {
  UlpFigures figures;                 ///< `worst` is unused: `worst_index` says it
  std::vector<uint64_t> worst_index;  ///< in the role's canonical axes; empty while nothing differs
  bool is_more_zero = true;           ///< the rows that one side alone has are zeros
};

/// Whether the pair counts as a difference: other numbers or another shape, a role that only one
/// side has though the other's format could hold it, more rows on one side that are not zeros.
bool IsDifferent(const RolePair& pair, const RoleOutcome& outcome);

struct DiffResult {
  std::vector<RoleOutcome> outcomes;  ///< by pair
  uint64_t requested_bytes = 0;       ///< of the stores
  uint64_t granted_peak_bytes = 0;
};

/// Reads and compares all pairs, in lanes; `watch` as Execute has it. The result does not depend on
/// lanes, boxes or budget. Errors: those of the sources; kInterrupted.
Result<DiffResult> RunDiff(const DiffPlan& plan, Progress& progress, Watch& watch);

}  // namespace ckpt
