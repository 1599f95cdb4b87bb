#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/byte_range.h"
#include "run/record.h"
#include "store/store.h"

namespace ckpt {

/// Writes one segment of a file front to back in whole blocks of kIoAlignment, so that every write
/// may bypass the page cache. What shares a block with a neighbour segment stays here as ragged
/// side values. Where the writer takes any range (buckets), bytes go through as they come.
class SegmentWriter {
 public:
  /// `base`: where the file begins among the offsets of segments; a multiple of kIoAlignment.
  SegmentWriter(PositionedWriter& writer, ByteRange segment, uint64_t base)
      : writer_(writer), segment_(segment), base_(base), next_(segment.begin) {}

  /// The writer's own memory for the next bytes, to be filled and given to Write(); empty where it
  /// has none.
  Result<std::span<std::byte>> Room(uint64_t bytes);

  /// The next bytes. bytes.data() is congruent to the offset modulo kIoAlignment, and the
  /// memory from the block's beginning (up to kIoAlignment - 1 bytes before) is ours to fill. Must
  /// live until the future is ready.
  IoFuture Write(std::span<std::byte> bytes);

  /// After the last byte: the ragged ends (none where the segment's borders are block borders).
  std::vector<SideValue> Finish();

  uint64_t next_offset() const { return next_; }

 private:
  PositionedWriter& writer_;
  ByteRange segment_;
  uint64_t base_;
  uint64_t next_;                 // offset of the next byte
  std::vector<std::byte> head_;   // before the first whole block
  std::vector<std::byte> carry_;  // of the block that is not yet full, from its beginning
};

}  // namespace ckpt
