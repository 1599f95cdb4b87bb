#include "run/band_map.h"

#include <algorithm>

#include "base/index.h"

namespace ckpt {
namespace {

// The numbers of the axes [first, last).
std::span<const uint64_t> Axes(const std::vector<uint64_t>& of, size_t first, size_t last) {
  return std::span(of).subspan(first, last - first);
}

}  // namespace

BandMap::BandMap(const RoleWork& work, const ChunkedSlice& slice, std::vector<uint64_t> strides,
                 uint64_t band)
    : work_(work), slice_(slice), strides_(std::move(strides)), band_(BandBox(work, band)) {}

// Number of a row of the band, from the indexes of the row axes.
uint64_t BandMap::RowOf(std::span<const uint64_t> at) const {
  if (work_.IsVector()) return 0;
  uint64_t row = 0;
  for (size_t k = work_.band_axis; k < work_.first_column_axis; ++k) {
    const bool is_band = k == work_.band_axis;
    const uint64_t extent = is_band ? band_.end[k] - band_.begin[k] : work_.axes[k].extent;
    row = row * extent + at[k] - (is_band ? band_.begin[k] : 0);
  }
  return row;
}

std::vector<PlacedRow> BandMap::Rows(const RoleBox& box) const {
  std::vector<PlacedRow> rows;
  ForEachIndex(Axes(box.begin, 0, work_.first_column_axis),
               Axes(box.end, 0, work_.first_column_axis), [&](std::span<const uint64_t> at) {
                 uint64_t offset = 0;
                 for (size_t k = 0; k < at.size(); ++k)
                   offset += (at[k] - box.begin[k]) * strides_[k];
                 rows.push_back({RowOf(at), offset});
               });
  std::sort(rows.begin(), rows.end(),
            [](const PlacedRow& a, const PlacedRow& b) { return a.offset < b.offset; });
  return rows;
}

std::vector<ColumnRun> BandMap::Columns(const RoleBox& box) const {
  const size_t rank = work_.axes.size();
  const size_t first = work_.first_column_axis;
  if (first == rank) return {{0, 1, 0, 1}};
  std::vector<uint64_t> column_strides(rank);
  uint64_t stride = 1;
  for (size_t k = rank; k-- > first;) {
    column_strides[k] = stride;
    stride *= ExtentInBuffer(k);
  }
  size_t inner = rank - 1;
  uint64_t count = box.end[inner] - box.begin[inner];
  while (inner > first) {
    const bool is_whole = count == column_strides[inner - 1];
    const bool follows = strides_[inner - 1] == strides_[rank - 1] * count;
    if (!is_whole || !follows) break;
    --inner;
    count *= box.end[inner] - box.begin[inner];
  }
  std::vector<ColumnRun> runs;
  if (count == 0) return runs;
  uint64_t inner_column = 0;
  for (size_t k = inner; k < rank; ++k)
    inner_column += (box.begin[k] - BaseInBuffer(k)) * column_strides[k];
  ForEachIndex(Axes(box.begin, first, inner), Axes(box.end, first, inner),
               [&](std::span<const uint64_t> at) {
                 ColumnRun run{inner_column, count, 0, strides_[rank - 1]};
                 for (size_t k = 0; k < at.size(); ++k) {
                   run.column += (at[k] - BaseInBuffer(first + k)) * column_strides[first + k];
                   run.offset += (at[k] - box.begin[first + k]) * strides_[first + k];
                 }
                 runs.push_back(run);
               });
  return runs;
}

// A boxed vector's buffer holds only its band.
bool BandMap::IsBandInBuffer(size_t axis) const {
  return work_.is_boxed && work_.IsVector() && axis == work_.band_axis;
}
uint64_t BandMap::BaseInBuffer(size_t axis) const {
  return IsBandInBuffer(axis) ? band_.begin[axis] : 0;
}
uint64_t BandMap::ExtentInBuffer(size_t axis) const {
  return IsBandInBuffer(axis) ? band_.end[axis] - band_.begin[axis] : work_.axes[axis].extent;
}

std::vector<BandMap::PlacedScale> BandMap::Scales(const Shape& whole, const Shape& scales) const {
  const std::vector<uint64_t> whole_strides = RowMajor(whole.extents);
  const std::vector<uint64_t> scale_strides = RowMajor(scales.extents);
  // The scale of a row lies where its index does, with the reduced axes gone.
  std::vector<PlacedScale> places;
  ForEachIndex(Axes(band_.begin, 0, work_.first_column_axis),
               Axes(band_.end, 0, work_.first_column_axis), [&](std::span<const uint64_t> at) {
                 uint64_t place = 0;
                 for (size_t k = 0; k < at.size(); ++k) {
                   const size_t a = slice_.array_axis[k];
                   place += at[k] * (slice_.view.strides[k] / whole_strides[a] * scale_strides[a]);
                 }
                 places.push_back({place, RowOf(at)});
               });
  std::sort(places.begin(), places.end(),
            [](const PlacedScale& a, const PlacedScale& b) { return a.place < b.place; });
  return places;
}

std::vector<uint64_t> BandMap::SourceIndex(const View& source, const Shape& tensor, uint64_t row,
                                           uint64_t column) const {
  // Back from the numbers of row and column to the role's indexes, and from these to the tensor's.
  std::vector<uint64_t> at = band_.begin;
  for (size_t k = work_.axes.size(); k-- > work_.first_column_axis;) {
    at[k] = BaseInBuffer(k) + column % ExtentInBuffer(k);
    column /= ExtentInBuffer(k);
  }
  for (size_t k = work_.first_column_axis; k-- > work_.band_axis;) {
    const bool is_band = k == work_.band_axis;
    const uint64_t extent = is_band ? band_.end[k] - band_.begin[k] : work_.axes[k].extent;
    at[k] = row % extent + (is_band ? band_.begin[k] : 0);
    row /= extent;
  }
  uint64_t element = source.offset;
  for (size_t k = 0; k < at.size(); ++k) element += at[k] * source.strides[k];
  return IndexOf(element, tensor.extents);
}

}  // namespace ckpt
