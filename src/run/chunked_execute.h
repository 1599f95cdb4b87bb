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
};

/// Runs the plan's bundles over all lanes, then writes each output's last data file (scales and
/// constants). When it returns, all data is durable and nothing makes it a checkpoint yet; lanes
/// and their memory are gone. `folders`: by output, where its objects are written.
Result<ChunkedBytes> ExecuteChunked(const ChunkedPlan& plan, const ChunkedTarget& target,
                                    Store& source, Store& destination,
                                    const std::vector<std::string>& folders,
                                    ChunkedRecords& records, MemoryBudget& budget, Watch& watch);

}  // namespace ckpt
