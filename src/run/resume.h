#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "plan/plan_base.h"
#include "run/convert.h"
#include "run/journal.h"

namespace ckpt {

/// What one process finds of a run and takes of it.
struct Part {
  Work work;
  std::vector<uint32_t> recorded;  ///< bundles that were recorded before, ascending
  ShardFigures figures;
};

/// What a bundle moves, by index.
struct BundleBytes {
  std::function<uint64_t(size_t)> read;
  std::function<uint64_t(size_t)> written;
};

/// The bundles that this process is to make: those of its shard that nobody recorded.
///   shard_of  of each bundle of the plan, by index; empty: all are of this shard
/// What is not of this process is left out of `progress`.
Result<Part> TakePart(Store& destination, const PlanBase& plan, const Journal& journal,
                      size_t bundles, const std::vector<uint32_t>& shard_of,
                      const BundleBytes& bytes, const ConvertOptions& options, Progress& progress);

/// After an error in a destination that keeps its state.
///   committed   whether the run is finished there by now
///   remove_own  removes all that the run left
/// Returns true where another process has committed meanwhile: then all is well. Else nothing is
/// left where no bundle is recorded and nobody else is at work; otherwise the state stays, the
/// shard's note tells of the error, and `error` tells the user that the same command goes on.
bool EndFailedRun(Error& error, Store& destination, const PlanBase& plan, ShardLog& log,
                  const ConvertOptions& options, const std::function<Result<bool>()>& committed,
                  const std::function<Result<void>()>& remove_own);

}  // namespace ckpt
