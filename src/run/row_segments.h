#pragma once

#include <cstdint>
#include <span>

#include "base/float.h"
#include "kernel/convert.h"
#include "model/value.h"
#include "plan/chunked_memory.h"
#include "plan/tile.h"

namespace ckpt {

/// Runs of elements of a band's rows, converted to one type and through one cell's arithmetic.
class RowSegments {
 public:
  /// `scratch`: room for kSegmentScratchBytes. All outlive this.
  RowSegments(const Tile& tile, const std::byte* input, DType source, uint64_t row_elements,
              const ValueProgram& value, DType to, std::span<std::byte> scratch);

  /// The converter of this pair exists.
  static bool Exists(DType source, DType to, const ValueProgram& value);

  /// The elements of row `row` from `column` on as they lie in the input, where they need no
  /// conversion and lie in one piece; else nullptr.
  const std::byte* Direct(uint64_t row, uint64_t column) const;
  /// `count` elements of it, converted, into `into`. count <= kStripeColumns.
  void Convert(uint64_t row, uint64_t column, uint64_t count, std::byte* into) const;

 private:
  const std::byte* Gathered(uint64_t row, uint64_t byte_begin, uint64_t byte_end,
                            std::byte* into) const;

  const Tile& tile_;
  const std::byte* input_;
  uint64_t row_elements_;
  uint32_t block_elements_;
  uint32_t block_bytes_;
  const ValueProgram& value_;
  bool is_as_is_;  // no conversion at all
  uint32_t to_bytes_;
  ConvertFn to_f32_ = nullptr;
  ConvertFn from_f32_ = nullptr;
  ConvertFn direct_ = nullptr;
  std::byte* gathered_;  // source blocks of one segment
  std::byte* floats_;    // the segment, and up to a block before and after it, as float32 or `to`
};

/// A segment of kStripeColumns elements and the rest of a block at both ends, as float32: once as
/// gathered from the source, once converted.
inline constexpr uint64_t kMostBlockElements = 256;
inline constexpr uint64_t kSegmentElements = kStripeColumns + 2 * kMostBlockElements;
inline constexpr uint64_t kSegmentScratchBytes = 2 * kSegmentElements * 8;

}  // namespace ckpt
