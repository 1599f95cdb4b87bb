#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "base/text.h"
#include "plan/chunked_plan.h"
#include "run/journal.h"
#include "run/progress.h"
#include "source/reader_pool.h"
#include "store/store.h"

namespace ckpt {

/// Thread-safe. Takes what bundles leave: into the journal where the destination keeps one, else
/// into memory (which the plan counts).
class ChunkedRecords {
 public:
  explicit ChunkedRecords(Journal* journal) : journal_(journal) {}
  /// The bundle's files are durable.
  Result<void> Put(BundleRecord record);
  /// Call when no lane runs.
  Result<BundleRecord> Get(uint32_t number) const;

 private:
  Journal* journal_;
  std::mutex mutex_;
  std::vector<BundleRecord> kept_;  // by number, without a journal
};

/// What all lanes of a run share. Everything referenced outlives the lanes.
struct ChunkedContext {
  const ChunkedPlan& plan;
  const ChunkedTarget& target;
  ReaderPool& readers;
  Store& destination;
  std::span<const std::string> folders;  ///< by output: where its objects are written
  ChunkedRecords& records;
  MemoryBudget& budget;
  Progress& progress;
  std::stop_token stop;
};

}  // namespace ckpt
