#pragma once

#include <functional>
#include <stop_token>
#include <vector>

#include "base/crc32c.h"
#include "base/memory_budget.h"
#include "plan/plan.h"
#include "run/journal.h"
#include "run/progress.h"
#include "store/store.h"

namespace ckpt {

/// Who watches a run. `tick` is called on the calling thread a few times a second and once at the
/// end; it may request the stop.
struct Watch {
  std::function<void(const Progress&)> tick = [](const Progress&) {};
  std::stop_source stop;
};

/// What a run that reached its end knows.
struct ExecuteResult {
  std::vector<Crc32c> array_crcs;   ///< by OutputSpec::arrays: of each array's stored bytes
  uint64_t read_bytes = 0;          ///< ranges as requested
  uint64_t granted_peak_bytes = 0;  ///< the most that the budget had granted at once
};

/// Runs the plan: statistics, bundles over all lanes, front, head. Every byte of the file is
/// written when it returns, but the writer is not committed. `journal`: where side values wait;
/// null for writers that take them at once. Errors: those of stores and kernels, with tensor and
/// file; kInterrupted when stopped. The first error ends the run; other lanes stop at their next
/// tile.
Result<ExecuteResult> Execute(const Plan& plan, Store& source, PositionedWriter& writer,
                              Journal* journal, MemoryBudget& budget, Watch& watch);

}  // namespace ckpt
