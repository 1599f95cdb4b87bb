#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "plan/tile.h"

namespace ckpt {

/// The rows of a tile in its input buffer. A row that lies in several pieces is gathered into
/// scratch memory.
class TileRows {
 public:
  /// `scratch`: at least one row of the source. All three outlive this.
  TileRows(const Tile& tile, const std::byte* input, std::byte* scratch)
      : tile_(tile), input_(input), scratch_(scratch) {}

  uint64_t count() const { return tile_.rows.row_end - tile_.rows.row_begin; }

  /// The bytes of row `i` (from 0), contiguous; valid until the next call.
  const std::byte* Row(uint64_t i) const {
    const uint32_t first = tile_.first_part[i];
    if (tile_.first_part[i + 1] == first + 1) return input_ + tile_.parts[first].buffer_offset;
    uint64_t filled = 0;
    for (uint32_t part = first; part < tile_.first_part[i + 1]; ++part) {
      std::memcpy(scratch_ + filled, input_ + tile_.parts[part].buffer_offset,
                  tile_.parts[part].bytes);
      filled += tile_.parts[part].bytes;
    }
    return scratch_;
  }

  /// How many rows from `i` on follow one another in the buffer without a gap, at most `most`; at
  /// least 1.
  uint64_t RunLength(uint64_t i, uint64_t most) const {
    uint64_t length = 1;
    while (length < most && i + length < count() && IsSingle(i + length - 1) &&
           IsSingle(i + length) &&
           End(i + length - 1) == tile_.parts[tile_.first_part[i + length]].buffer_offset)
      ++length;
    return length;
  }

 private:
  bool IsSingle(uint64_t i) const { return tile_.first_part[i + 1] == tile_.first_part[i] + 1; }
  uint64_t End(uint64_t i) const {
    const RowPart& part = tile_.parts[tile_.first_part[i]];
    return part.buffer_offset + part.bytes;
  }

  const Tile& tile_;
  const std::byte* input_;
  std::byte* scratch_;
};

}  // namespace ckpt
