#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "base/crc32c.h"
#include "base/memory_budget.h"
#include "plan/plan.h"
#include "run/journal.h"
#include "run/output_files.h"
#include "run/progress.h"
#include "run/shard_log.h"
#include "source/source_checks.h"
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
  SourceChecks::Verdict source_checks = {};
  /// Of the last file: whole, but not committed.
  std::shared_ptr<PositionedWriter> last = {};
};

/// The part of a plan's work that one process takes.
struct Work {
  std::vector<size_t> bundles;  ///< into the plan's
  /// Others may be at the same bundles: each is asked for before it is begun.
  bool is_shared = false;
  ShardLog* log = nullptr;
  /// Removes what all bundles made, of an output of files whose source was read wrong; may be
  /// empty. An output of chunks forgets its bundles itself.
  std::function<Result<void>()> forget = {};
};
/// All of a plan with so many bundles.
Work WholeWork(size_t bundles);

/// Runs the plan's bundles over all lanes, statistics first; then, if every bundle is recorded,
/// also those of other processes, front and commit ranges: every byte of every file is written when
/// it returns, and all files but the last are committed. Else it returns nothing: others have
/// bundles to do. `journal`: where side values wait; null for writers that take them at once, which
/// must have all the work. Errors: those of stores and kernels, with tensor and file; kInterrupted
/// when stopped. The first error ends the run; other lanes stop at their next tile.
Result<std::optional<ExecuteResult>> Execute(const Plan& plan, Store& source, OutputFiles& files,
                                             Journal* journal, const Work& work,
                                             MemoryBudget& budget, Progress& progress,
                                             Watch& watch);

}  // namespace ckpt
