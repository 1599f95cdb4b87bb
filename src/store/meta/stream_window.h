#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/byte_range.h"

namespace ckpt {

/// The last bytes of a stream that passes by: a ring of `capacity_bytes`, all of it allocated at
/// the first byte. Not thread-safe.
class StreamWindow {
 public:
  explicit StreamWindow(size_t capacity_bytes) : capacity_(capacity_bytes) {}

  /// Empty, at this byte of the object.
  void Restart(uint64_t offset) { held_ = {offset, offset}; }
  void Append(std::span<const std::byte> bytes);
  /// Which bytes of the object are held; its end is the byte reached.
  ByteRange held() const { return held_; }
  /// Copies a part of what is held.
  void Copy(ByteRange range, std::span<std::byte> into) const;

 private:
  size_t capacity_;
  std::vector<std::byte> ring_;
  ByteRange held_;
};

}  // namespace ckpt
