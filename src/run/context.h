#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <vector>

#include "base/buffer.h"
#include "plan/plan.h"
#include "run/journal.h"
#include "run/output_files.h"
#include "run/progress.h"
#include "run/shard_log.h"
#include "run/statistics.h"
#include "source/reader_pool.h"
#include "store/store.h"

namespace ckpt {

class HoldPool;

/// A file being written, and where it begins among the plan's offsets.
struct PlacedFile {
  PositionedWriter* writer = nullptr;
  uint64_t base = 0;
};

/// Thread-safe. Takes what bundles leave besides the bytes that they wrote. With a journal, side
/// values and parts wait in records for the committer; without one (null, verifying) side values go
/// to their place in the file at once.
class RecordSink {
 public:
  /// `journal` and `log` may be null.
  RecordSink(SourceChecks& checks, Journal* journal, ShardLog* log)
      : checks_(checks), journal_(journal), log_(log) {}
  /// A lane's reading comes to a bundle, while it may still be at work on the one before.
  void Begin(const Bundle& bundle);
  /// A lane's bundles begin: what the calling thread has read before belongs to none of them.
  void StartChecks();
  /// Work on a bundle goes on.
  void Pulse() {
    if (log_ != nullptr) log_->Pulse();
  }
  /// The bundle's bytes are written to `file` (and waited for). With a journal: makes them durable,
  /// then records the bundle. The front shares its parts of the file with the head: whoever writes
  /// that makes them durable.
  Result<void> Finish(const Bundle& bundle, BundleRecord record, PlacedFile file);
  /// Parts of arrays that no bundle of this process made.
  void AddParts(std::span<const ArrayPart> parts);
  /// All parts so far, by array and offset. Call when no lane runs.
  std::vector<ArrayPart> TakeParts();

 private:
  SourceChecks& checks_;
  Journal* journal_;
  ShardLog* log_;
  std::mutex mutex_;
  std::vector<ArrayPart> parts_;
};

/// What all lanes of a run share. Everything referenced outlives the lanes.
struct RunContext {
  const Plan& plan;
  std::span<const std::unique_ptr<ObjectReader>>
      readers;       ///< by Catalog::objects; null for those of no tensor that is read as it lies
  ReaderPool& pool;  ///< for tensors that are read as boxes
  OutputFiles& files;
  RecordSink& records;
  MemoryBudget& budget;
  HoldPool& holds;
  StatisticTable& statistics;
  Progress& progress;
  std::stop_token stop;
};

}  // namespace ckpt
