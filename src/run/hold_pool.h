#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

#include "base/buffer.h"

namespace ckpt {

/// Thread-safe. The few big buffers in which transposed outputs are collected; made once, reused to
/// the end.
class HoldPool {
 public:
  /// `slots` buffers of `bytes` each; either may be 0.
  static Result<std::unique_ptr<HoldPool>> Make(MemoryBudget& budget, unsigned slots,
                                                uint64_t bytes);

  /// A buffer on loan, back in the pool when it ends.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept;
    Hold& operator=(Hold&& other) noexcept;
    ~Hold();
    std::span<std::byte> span() { return buffer_->span(); }
    explicit operator bool() const { return buffer_ != nullptr; }

   private:
    friend class HoldPool;
    Hold(HoldPool* pool, Buffer* buffer) : pool_(pool), buffer_(buffer) {}
    HoldPool* pool_ = nullptr;
    Buffer* buffer_ = nullptr;
  };

  /// Waits for a free buffer. A lane asks only while it holds none, so lanes cannot wait for each
  /// other in a circle. kInterrupted when stopped.
  Result<Hold> Acquire(std::stop_token stop);

 private:
  std::mutex mutex_;
  std::condition_variable_any freed_;
  std::vector<Buffer> buffers_;
  std::vector<Buffer*> free_;
};

}  // namespace ckpt
