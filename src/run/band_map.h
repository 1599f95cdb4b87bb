#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plan/chunk_box.h"
#include "plan/chunked_plan.h"

namespace ckpt {

/// A row of a band, and where its first element goes in a chunk.
struct PlacedRow {
  uint64_t row = 0;
  uint64_t offset = 0;  ///< elements
};
/// A run of columns of every row, and where it goes.
struct ColumnRun {
  uint64_t column = 0;
  uint64_t count = 0;
  uint64_t offset = 0;  ///< elements
  uint64_t stride = 0;  ///< elements from one column to the next
};

/// How the rows and columns of a band in memory lie in the chunks of one product.
class BandMap {
 public:
  /// `strides`: ChunkStrides of the product. `work` and `slice` must outlive this.
  BandMap(const RoleWork& work, const ChunkedSlice& slice, std::vector<uint64_t> strides,
          uint64_t band);

  /// The rows that meet a chunk's box, by ascending offset.
  std::vector<PlacedRow> Rows(const RoleBox& box) const;
  /// The columns that meet a chunk's box, as runs that are as long as both sides allow.
  std::vector<ColumnRun> Columns(const RoleBox& box) const;

  /// The place of each row's scale, by ascending place; `scales`: the shape of their array.
  struct PlacedScale {
    uint64_t place = 0;
    uint64_t row = 0;
  };
  std::vector<PlacedScale> Scales(const Shape& whole, const Shape& scales) const;

  /// The index of an element in its source tensor.
  std::vector<uint64_t> SourceIndex(const View& source, const Shape& tensor, uint64_t row,
                                    uint64_t column) const;

 private:
  uint64_t RowOf(std::span<const uint64_t> at) const;
  bool IsBandInBuffer(size_t axis) const;
  uint64_t BaseInBuffer(size_t axis) const;
  uint64_t ExtentInBuffer(size_t axis) const;

  const RoleWork& work_;
  const ChunkedSlice& slice_;
  const std::vector<uint64_t> strides_;
  const RoleBox band_;
};

}  // namespace ckpt
