#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/memory_budget.h"
#include "base/result.h"

namespace ckpt::gs {

/// Copied and summed in turn, while it lies in the cache.
inline constexpr uint64_t kCachedBytes = 64 << 10;

/// Memory in which an object or a part is gathered, with room in front and behind, so that it can
/// become a request body of several parts without a copy. Movable.
class UploadBuffer {
 public:
  static constexpr uint64_t kFrontRoom = 8 << 10;  ///< metadata with a name of 1024 bytes, escaped
  static constexpr uint64_t kEndRoom = 256;

  UploadBuffer() = default;
  /// Waits for GrantBytes(capacity) of the budget.
  static Result<UploadBuffer> Allocate(MemoryBudget& budget, uint64_t capacity,
                                       std::stop_token stop);
  /// For a few KiB, outside of any account.
  static UploadBuffer OnHeap(uint64_t capacity);
  /// In memory of GrantBytes(capacity) bytes that outlives it.
  static UploadBuffer Within(std::span<std::byte> memory);
  static uint64_t GrantBytes(uint64_t capacity) { return kFrontRoom + capacity + kEndRoom; }

  uint64_t capacity() const { return whole_.empty() ? 0 : whole_.size() - kFrontRoom - kEndRoom; }
  std::span<std::byte> bytes() { return whole_.subspan(kFrontRoom, capacity()); }
  /// `front`, the first `size` bytes, `end`: all in one piece.
  std::span<const std::byte> Frame(std::string_view front, uint64_t size, std::string_view end);

 private:
  std::vector<std::byte> heap_;
  Buffer buffer_;
  std::span<std::byte> whole_;  // of one of them, or another's; moving leaves memory where it is
};

}  // namespace ckpt::gs
