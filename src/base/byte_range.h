#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace ckpt {

/// Half-open interval [begin, end) of bytes in one object. Invariant: begin <= end.
struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;

  /// kBadInput if offset + length does not fit in 64 bits.
  static Result<ByteRange> OfLength(uint64_t offset, uint64_t length);

  uint64_t size() const { return end - begin; }
  bool empty() const { return begin == end; }
  bool Contains(const ByteRange& other) const { return begin <= other.begin && other.end <= end; }
  bool operator==(const ByteRange&) const = default;
};

/// The smallest range of whole `alignment`-sized blocks around `range`; the end may lie beyond the
/// object.
ByteRange AlignOutward(ByteRange range, uint64_t alignment);

/// "[0, 512)".
std::string ToString(const ByteRange& range);

}  // namespace ckpt
