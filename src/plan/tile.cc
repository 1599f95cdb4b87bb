#include "plan/tile.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked.h"
#include "base/index.h"
#include "store/store.h"

namespace ckpt {
namespace {

// Where a run of elements of a tensor lies.
struct Fragment {
  uint32_t object;
  uint64_t offset;
  uint64_t bytes;
};

// Bytes of a run of elements: whole blocks.
uint64_t RunBytes(const DTypeInfo& info, uint64_t elements) {
  return elements / info.block_elements * info.block_bytes;
}

const Piece& PieceAt(const TensorEntry& tensor, std::span<const uint64_t> at) {
  for (const Piece& piece : tensor.pieces) {
    bool is_inside = true;
    for (size_t axis = 0; axis < at.size(); ++axis)
      is_inside = is_inside && piece.box.begin[axis] <= at[axis] && at[axis] < piece.box.end[axis];
    if (is_inside) return piece;
  }
  CKPT_UNREACHABLE("the pieces cover their tensor");
}

// Calls `visit` for each stored fragment of the elements [element, element + count) of the tensor
// in C order. `whole`: the piece of a contiguous tensor, else nullptr.
template <class Visit>
void ForEachFragment(const TensorEntry& tensor, const Piece* whole, uint64_t element,
                     uint64_t count, Visit visit) {
  const DTypeInfo& info = Info(tensor.dtype);
  if (whole != nullptr) {
    visit(Fragment{whole->object, whole->offset_bytes + RunBytes(info, element),
                   RunBytes(info, count)});
    return;
  }
  const size_t rank = tensor.shape.rank();
  while (count > 0) {
    const std::vector<uint64_t> at = IndexOf(element, tensor.shape.extents);
    const Piece& piece = PieceAt(tensor, at);
    const size_t last = rank - 1;
    const bool is_run = piece.byte_strides[last] == info.block_bytes;
    const uint64_t run =
        std::min(count, is_run ? piece.box.end[last] - at[last] : info.block_elements);
    uint64_t offset = piece.offset_bytes;
    for (size_t axis = 0; axis < last; ++axis)
      offset += (at[axis] - piece.box.begin[axis]) * piece.byte_strides[axis];
    offset += (at[last] - piece.box.begin[last]) / info.block_elements * piece.byte_strides[last];
    visit(Fragment{piece.object, offset, RunBytes(info, run)});
    element += run;
    count -= run;
  }
}

// In how many pieces a row lies at most: those side by side along the last axis.
uint64_t PiecesPerRow(const TensorEntry& tensor, uint64_t row_elements) {
  if (tensor.pieces.size() <= 1 || tensor.shape.rank() == 0) return 1;
  if (row_elements > tensor.shape.extents.back()) return tensor.pieces.size();
  const size_t last = tensor.shape.rank() - 1;
  const auto holds_first_row = [&](const Piece& piece) {
    return std::all_of(piece.box.begin.begin(),
                       piece.box.begin.begin() + static_cast<std::ptrdiff_t>(last),
                       [](uint64_t begin) { return begin == 0; });
  };
  return std::max<uint64_t>(1, static_cast<uint64_t>(std::count_if(
                                   tensor.pieces.begin(), tensor.pieces.end(), holds_first_row)));
}

// Rows that the source keeps together below the outermost digit: one head of a permuted projection.
uint64_t RowsPerUnit(const RowMap& rows) {
  uint64_t unit = 1;
  for (size_t k = 1; k < rows.axes.size(); ++k) unit *= rows.axes[k].extent;
  return unit;
}

// Whether the rows follow one another in the source as in the output.
bool IsInSourceOrder(const RowMap& map) {
  return map.axes.empty() ||
         (map.axes.size() == 1 && map.axes.front().source_stride == map.row_elements);
}

// Rows that follow one another in memory, the first at byte `begin`.
void LayRowsFrom(uint64_t begin, const RowSpan& rows, uint64_t row_bytes, Tile& tile) {
  const uint64_t count = rows.row_end - rows.row_begin;
  tile.rows = rows;
  tile.ranges.clear();
  tile.parts.resize(count);
  tile.first_part.resize(count + 1);
  for (uint64_t row = 0; row < count; ++row) {
    tile.first_part[row] = static_cast<uint32_t>(row);
    tile.parts[row] = {begin + row * row_bytes, row_bytes};
  }
  tile.first_part[count] = static_cast<uint32_t>(count);
}

}  // namespace

uint64_t UnitBytes(const ArrayPlan& array, const TensorEntry& tensor) {
  return RowsPerUnit(array.rows) * RunBytes(Info(tensor.dtype), array.rows.row_elements);
}

uint64_t TileCapacity(const ArrayPlan& array, const TensorEntry& tensor, uint64_t rows) {
  const uint64_t row_bytes = RunBytes(Info(tensor.dtype), array.rows.row_elements);
  // Worst case: every row (and piece of it) is a range of its own, with a ragged block at both
  // ends.
  const uint64_t pieces = PiecesPerRow(tensor, array.rows.row_elements);
  return rows * (RoundUp(row_bytes, kIoAlignment) + kIoAlignment * (2 * pieces - 1));
}

uint64_t RowsPerTile(const ArrayPlan& array, const TensorEntry& tensor, uint64_t capacity_bytes,
                     uint64_t most_output_bytes) {
  const uint64_t row_bytes =
      std::max<uint64_t>(1, RunBytes(Info(tensor.dtype), array.rows.row_elements));
  uint64_t by_output = array.row_bytes > 0 ? most_output_bytes / array.row_bytes : UINT64_MAX;
  if (array.rows.axes.size() <= 1) {
    // Source order is output order: one range a piece, so two ragged blocks each.
    const uint64_t ragged = 2 * kIoAlignment * std::max<uint64_t>(1, tensor.pieces.size());
    if (HasDensePieces(tensor) && capacity_bytes > ragged + row_bytes)
      return std::max<uint64_t>(
          1, std::min({(capacity_bytes - ragged) / row_bytes, by_output, array.rows.n_rows}));
    return std::max<uint64_t>(
        1, std::min(capacity_bytes / std::max<uint64_t>(1, TileCapacity(array, tensor, 1)),
                    by_output));
  }
  const uint64_t unit = RowsPerUnit(array.rows);
  const uint64_t unit_bytes = unit * row_bytes;
  const uint64_t ragged = 2 * kIoAlignment * std::max<uint64_t>(1, tensor.pieces.size());
  if (HasDensePieces(tensor) && unit_bytes + ragged <= capacity_bytes && unit <= by_output) {
    const uint64_t units = std::min((capacity_bytes - ragged) / unit_bytes, by_output / unit);
    return std::min(units * unit, array.rows.n_rows);
  }
  return std::max<uint64_t>(1,
                            std::min(capacity_bytes / TileCapacity(array, tensor, 1), by_output));
}

uint64_t RowsPerTile(const Plan& plan, size_t array) {
  const ArrayPlan& planned = plan.arrays[array];
  const uint64_t rows =
      RowsPerTile(planned, plan.catalog.tensors[planned.tensor], plan.memory.read_bytes,
                  plan.memory.tile_out_bytes - 2 * kIoAlignment);
  if (planned.value.empty()) return rows;
  const uint64_t computed = planned.rows.row_elements * ElementBytes(planned.row_dtype);
  return std::max<uint64_t>(1, std::min(rows, plan.memory.staged_bytes / computed));
}

void LayRows(const RowSpan& rows, uint64_t row_bytes, Tile& tile) {
  LayRowsFrom(0, rows, row_bytes, tile);
}

void MakeTile(const RowMap& map, const TensorEntry& tensor, const RowSpan& rows, Tile& tile) {
  const Piece* const whole = IsContiguous(tensor) ? &tensor.pieces.front() : nullptr;
  if (whole != nullptr && IsInSourceOrder(map) && rows.row_begin < rows.row_end) {
    const DTypeInfo& info = Info(tensor.dtype);
    const uint64_t row_bytes = RunBytes(info, map.row_elements);
    const uint64_t begin = whole->offset_bytes + RunBytes(info, map.SourceElement(rows.row_begin));
    const ByteRange range{begin, begin + (rows.row_end - rows.row_begin) * row_bytes};
    LayRowsFrom(begin % kIoAlignment, rows, row_bytes, tile);
    tile.ranges.push_back({whole->object, range, 0, AlignOutward(range, kIoAlignment).size()});
    return;
  }
  tile.rows = rows;
  tile.ranges.clear();
  tile.parts.clear();
  tile.first_part.clear();

  struct Placed {
    Fragment fragment;
    uint32_t part;
  };
  std::vector<Placed> placed;
  placed.reserve(rows.row_end - rows.row_begin);
  for (uint64_t row = rows.row_begin; row < rows.row_end; ++row) {
    tile.first_part.push_back(static_cast<uint32_t>(tile.parts.size()));
    ForEachFragment(tensor, whole, map.SourceElement(row), map.row_elements,
                    [&](const Fragment& fragment) {
                      placed.push_back({fragment, static_cast<uint32_t>(tile.parts.size())});
                      tile.parts.push_back({0, fragment.bytes});
                    });
  }
  tile.first_part.push_back(static_cast<uint32_t>(tile.parts.size()));

  const auto before = [](const Placed& a, const Placed& b) {
    return a.fragment.object != b.fragment.object ? a.fragment.object < b.fragment.object
                                                  : a.fragment.offset < b.fragment.offset;
  };
  if (!std::is_sorted(placed.begin(), placed.end(), before))
    std::sort(placed.begin(), placed.end(), before);
  for (const Placed& next : placed) {
    const bool touches = !tile.ranges.empty() &&
                         tile.ranges.back().object == next.fragment.object &&
                         tile.ranges.back().range.end == next.fragment.offset;
    if (!touches)
      tile.ranges.push_back(
          {next.fragment.object, {next.fragment.offset, next.fragment.offset}, 0, 0});
    tile.ranges.back().range.end += next.fragment.bytes;
    // For now relative to its range; the window's place is known when all ranges are.
    tile.parts[next.part].buffer_offset = next.fragment.offset - tile.ranges.back().range.begin;
  }
  uint64_t window_offset = 0;
  for (TileRange& range : tile.ranges) {
    range.window_offset = window_offset;
    range.window_bytes = AlignOutward(range.range, kIoAlignment).size();
    window_offset += range.window_bytes;
  }
  size_t range = 0;
  uint64_t consumed = 0;
  for (const Placed& next : placed) {
    if (consumed == tile.ranges[range].range.size()) {
      ++range;
      consumed = 0;
    }
    consumed += next.fragment.bytes;
    tile.parts[next.part].buffer_offset +=
        tile.ranges[range].window_offset + tile.ranges[range].range.begin % kIoAlignment;
  }
}

}  // namespace ckpt
