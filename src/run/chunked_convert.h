#pragma once

#include "run/chunked_execute.h"
#include "run/convert.h"

namespace ckpt {

/// Figures of a finished run into a chunked target.
struct ChunkedResult {
  Outcome outcome = Outcome::kCommitted;
  ShardFigures shard;
  RunFigures figures;
  uint64_t written_bytes = 0;
  std::vector<std::vector<Crc32c>> array_crcs;  ///< by output and array: of the stored chunks in
                                                ///< the order of their keys
  std::vector<std::vector<CompanionResult>>
      commit_files;  ///< by output: what the commit writes, names below the root of the output
};

/// Runs the plan, or a shard of it, into `destination`, going on with what earlier runs of it left;
/// once all bundles are recorded commits each output: data files, companions, report, then what
/// makes readers accept it, and last its name. A run that fails or is stopped keeps what is
/// recorded; where nothing is, it removes everything that it made. Errors: kCannotCreate (73) for a
/// destination that is not ours, then those of stores and kernels.
Result<ChunkedResult> ConvertChunked(const ChunkedPlan& plan, const ChunkedTarget& target,
                                     Store& source, Store& destination, MemoryBudget& budget,
                                     const ConvertOptions& options, Watch& watch);

/// Bits that one weight of an output takes, scales included, constants not.
double BitsPerWeight(const ChunkedOutput& output);

/// The report of such a run as JSON text (docs/report.md).
std::string MakeChunkedReport(const ChunkedPlan& plan, const ChunkedResult& result,
                              std::string_view version);

}  // namespace ckpt
