#pragma once

#include <functional>
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
#include "run/shard_log.h"
#include "source/reader_pool.h"
#include "store/store.h"

namespace ckpt {

/// Thread-safe. Takes what bundles leave: into the journal where the destination keeps one, else
/// into memory (which the plan counts).
class ChunkedRecords {
 public:
  /// `journal` and `log` may be null.
  explicit ChunkedRecords(Journal* journal, ShardLog* log = nullptr)
      : journal_(journal), log_(log) {}
  /// A lane's reading comes to a bundle, while it may still be at work on the one before.
  void Begin(uint32_t number);
  /// Work on a bundle goes on.
  void Pulse() {
    if (log_ != nullptr) log_->Pulse();
  }
  /// The bundle's files are durable.
  Result<void> Put(BundleRecord record);
  /// Call when no lane runs.
  Result<BundleRecord> Get(uint32_t number) const;
  /// Hands the records 0 ... count - 1 to `take`, one at a time, in no order. Call when no lane
  /// runs.
  Result<void> ForEach(size_t count, const std::function<Result<void>(BundleRecord)>& take) const;
  Journal* journal() const { return journal_; }  ///< or null

 private:
  Journal* journal_;
  ShardLog* log_;
  std::mutex mutex_;
  std::vector<BundleRecord> kept_;  // by number, without a journal
};

/// What all lanes of a run share. Everything referenced outlives the lanes.
struct ChunkedContext {
  const ChunkedPlan& plan;
  const ChunkedTarget& target;
  ReaderPool& readers;
  SourceChecks& checks;
  Store& destination;
  std::span<const std::string> folders;  ///< by output: where its objects are written; "": it is
                                         ///< committed already
  ChunkedRecords& records;
  MemoryBudget& budget;
  Progress& progress;
  std::stop_token stop;
};

/// How the objects of bundles and of the commit are made: those of another process of the same run
/// have the same bytes and are replaced.
CreateOptions OwnObject(const ChunkedPlan& plan);

}  // namespace ckpt
