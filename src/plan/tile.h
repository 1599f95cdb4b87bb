#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/byte_range.h"
#include "plan/plan.h"

namespace ckpt {

/// One range read of a tile.
struct TileRange {
  uint32_t object = 0;  ///< into Catalog::objects
  ByteRange range;
  uint64_t window_offset =
      0;  ///< of its window in the tile's input buffer; a multiple of kIoAlignment
  uint64_t window_bytes = 0;
};

/// A part of a row, in the input buffer.
struct RowPart {
  uint64_t buffer_offset = 0;
  uint64_t bytes = 0;
};

/// The unit of memory: some rows of one array, with the ranges they need.
struct Tile {
  RowSpan rows;
  std::vector<TileRange> ranges;
  std::vector<RowPart> parts;  ///< row after row
  std::vector<uint32_t>
      first_part;  ///< of each row, one more at the end; a row of one part lies in one piece
  bool is_last_of_span = false;
};

/// Source bytes of the rows that are kept together below the outermost digit of their order: a head
/// of a permuted projection; one row where the rows are in the source's order.
uint64_t UnitBytes(const ArrayPlan& array, const TensorEntry& tensor);

/// The least input buffer that can hold a tile of `rows` rows of this array, whatever its pieces.
uint64_t TileCapacity(const ArrayPlan& array, const TensorEntry& tensor, uint64_t rows);

/// Rows of `array` in one tile of an input buffer of `capacity_bytes`: whole units of the source's
/// own order (heads) where they fit, so that a permuted tile reads one range. At least 1.
uint64_t RowsPerTile(const ArrayPlan& array, const TensorEntry& tensor, uint64_t capacity_bytes,
                     uint64_t most_output_bytes);

/// Rows of a tile of this plan, of an array that is read as it lies. After PlanMemory.
uint64_t RowsPerTile(const Plan& plan, size_t array);

/// Rows that follow one another without a gap, in memory that was filled otherwise.
void LayRows(const RowSpan& rows, uint64_t row_bytes, Tile& tile);

/// Makes the tile of rows [row_begin, row_end): ranges merged where they touch, never over a gap
/// (so the bytes requested are the bytes used). Reuses the vectors of `tile`.
void MakeTile(const RowMap& map, const TensorEntry& tensor, const RowSpan& rows, Tile& tile);

}  // namespace ckpt
