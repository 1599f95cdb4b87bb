#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>

#include "base/buffer.h"

namespace ckpt {

/// Thread-safe. The memory in which transposed outputs are collected: one buffer, made once and
/// reused to the end, of which each takes as much as it needs. So one large output does not decide
/// how many others are collected beside it.
class HoldPool {
 public:
  /// `bytes` may be 0.
  static Result<std::unique_ptr<HoldPool>> Make(MemoryBudget& budget, uint64_t bytes);

  /// Memory on loan, back in the pool when it ends.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept;
    Hold& operator=(Hold&& other) noexcept;
    ~Hold();
    std::span<std::byte> span() const { return span_; }
    explicit operator bool() const { return pool_ != nullptr; }

   private:
    friend class HoldPool;
    Hold(HoldPool* pool, std::span<std::byte> span) : pool_(pool), span_(span) {}
    HoldPool* pool_ = nullptr;
    std::span<std::byte> span_;
  };

  /// Waits until `bytes` are free side by side, at most those of the pool; they begin at a multiple
  /// of kIoAlignment. In the order of asking, so that a large one gets its turn. A lane asks only
  /// while it holds none, so lanes cannot wait for each other in a circle. kInterrupted when
  /// stopped.
  Result<Hold> Acquire(uint64_t bytes, std::stop_token stop);

 private:
  std::optional<uint64_t> FindRoom(uint64_t bytes) const;
  void Release(std::span<std::byte> span);

  Buffer buffer_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<uint64_t, uint64_t> taken_;  // begin -> end
  uint64_t asked_ = 0;                  // requests so far
  uint64_t served_ = 0;                 // of these
};

}  // namespace ckpt
