#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>

#include "base/result.h"

namespace ckpt {

class MemoryBudget;

/// The right to hold `bytes()` of memory, given back when it ends. Movable. Must not outlive its
/// budget.
class Grant {
 public:
  Grant() = default;
  Grant(Grant&& other) noexcept;
  Grant& operator=(Grant&& other) noexcept;
  ~Grant();
  uint64_t bytes() const { return bytes_; }

 private:
  friend class MemoryBudget;
  Grant(MemoryBudget* budget, uint64_t bytes) : budget_(budget), bytes_(bytes) {}
  MemoryBudget* budget_ = nullptr;
  uint64_t bytes_ = 0;
};

/// Thread-safe. The one account of memory: every buffer of a run is granted here before it is
/// allocated.
class MemoryBudget {
 public:
  explicit MemoryBudget(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  /// Waits, first come first served, until `bytes` are free. kResources if they exceed the limit;
  /// kInterrupted when stopped.
  Result<Grant> Acquire(uint64_t bytes, std::stop_token stop = {});
  /// Never waits; nothing where the bytes are not free now, or others are waiting.
  std::optional<Grant> TryAcquire(uint64_t bytes);

  uint64_t limit_bytes() const { return limit_bytes_; }
  uint64_t used_bytes() const;
  uint64_t peak_bytes() const;  ///< the most that was ever granted at once

 private:
  friend class Grant;
  void Release(uint64_t bytes);
  void SkipLeft();

  const uint64_t limit_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable_any freed_;
  uint64_t used_bytes_ = 0;
  uint64_t peak_bytes_ = 0;
  uint64_t next_ticket_ = 0;  // who came when
  uint64_t serving_ = 0;      // whose turn it is
  std::set<uint64_t> left_;   // stopped before their turn
};

}  // namespace ckpt
