#pragma once

#include <string>
#include <vector>

#include "run/chunked_context.h"
#include "run/execute.h"

namespace ckpt {

/// What moved.
struct ChunkedBytes {
  uint64_t read = 0;     ///< ranges as requested
  uint64_t written = 0;  ///< data files, gaps included
  SourceChecks::Verdict source_checks = {};
};

/// Runs bundles of the plan over all lanes; then, if every bundle is recorded, also those of other
/// processes, writes each output's last data file (scales and constants): all data is durable when
/// it returns and nothing makes it a checkpoint yet; lanes and their memory are gone. Else it
/// returns nothing: others have bundles to do. `folders`: by output, where its objects are written;
/// "" for one that is committed.
Result<std::optional<ChunkedBytes>> ExecuteChunked(
    const ChunkedPlan& plan, const ChunkedTarget& target, Store& source, Store& destination,
    const std::vector<std::string>& folders, ChunkedRecords& records, const Work& work,
    MemoryBudget& budget, Progress& progress, Watch& watch);

}  // namespace ckpt
