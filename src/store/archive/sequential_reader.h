#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "base/md5.h"
#include "base/memory_budget.h"
#include "base/result.h"
#include "store/store.h"

namespace ckpt {

/// Reads one object once, front to back, a few windows ahead, and sums up what it hands out. Not
/// thread-safe. The object must outlive it; its end waits for what is under way.
class SequentialReader {
 public:
  static constexpr uint64_t kWindowBytes = 4ULL << 20U;
  static constexpr size_t kWindows = 4;
  /// All that it holds of the budget.
  static constexpr uint64_t kHeldBytes = kWindowBytes * kWindows;

  /// Errors: kResources if the budget has no room, kInterrupted.
  static Result<std::unique_ptr<SequentialReader>> Start(ObjectReader& object, MemoryBudget& budget,
                                                         std::stop_token stop);
  SequentialReader(const SequentialReader&) = delete;
  SequentialReader& operator=(const SequentialReader&) = delete;
  ~SequentialReader();

  /// The next bytes, none at the end; they stay until the next call. Errors: those of the object,
  /// kInterrupted.
  Result<std::span<const std::byte>> Next();

  /// Bytes handed out so far, and their sums.
  uint64_t position() const { return crc32c_.size_bytes(); }
  const Crc32c& crc32c() const { return crc32c_; }
  /// The 16 bytes of the MD5. Last call.
  std::string FinishMd5() { return md5_.Finish(); }

 private:
  struct UnderWay {
    Buffer window;
    ByteRange range;
    IoFuture read;
  };

  SequentialReader(ObjectReader& object, std::stop_token stop)
      : object_(object), stop_(std::move(stop)) {}
  void Begin(Buffer window);

  ObjectReader& object_;
  const std::stop_token stop_;
  uint64_t begun_bytes_ = 0;
  std::deque<UnderWay> under_way_;
  Buffer current_;  // what was handed out last
  Crc32c crc32c_;
  Md5 md5_;
};

}  // namespace ckpt
