#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

#include "base/buffer.h"
#include "base/memory_budget.h"
#include "base/result.h"
#include "store/gs/upload_buffer.h"

namespace ckpt::gs {

/// Thread-safe. The buffers of one positioned object, made once and used again: a buffer is free,
/// being filled, or on its way to the bucket.
class PartPool {
 public:
  /// `most_filling` of the `buffers` may be filled at one time. Grants all of them at once, so that
  /// no writer waits for memory that another writer's unfinished part holds.
  static Result<std::unique_ptr<PartPool>> Make(MemoryBudget& budget, size_t buffers,
                                                size_t most_filling, uint64_t part_bytes,
                                                std::stop_token stop);
  PartPool() = default;

  /// A buffer to fill. Waits until one came back from its way. kInternal where `most_filling` are
  /// being filled already: the caller promised fewer, and nothing would end the wait.
  Result<UploadBuffer> Take();
  /// It is full and leaves.
  void Sent();
  /// It came back from its way, or was not filled to its end (`was_sent` false).
  void GiveBack(UploadBuffer buffer, bool was_sent);
  /// Until no buffer is on its way.
  void WaitForSent();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Buffer memory_;
  std::vector<UploadBuffer> free_;
  size_t filling_ = 0;
  size_t most_filling_ = 0;
  size_t sent_ = 0;
};

}  // namespace ckpt::gs
