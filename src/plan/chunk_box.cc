#include "plan/chunk_box.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked.h"
#include "base/index.h"

namespace ckpt {
namespace {

// Cuts the box to what chunk index `at` of axis `a` holds; the rest of the chunk is fill.
void CutToChunk(const ChunkedSlice& slice, const ChunkedArray& array, size_t a, uint64_t at,
                BandChunk& chunk) {
  uint64_t filled = 1;  // indexes of the axis that the role fills
  size_t single = 0;    // the role's axis, where there is but one
  size_t count = 0;
  for (size_t k = 0; k < slice.array_axis.size(); ++k) {
    if (slice.array_axis[k] != a) continue;
    filled *= slice.view.extents[k];
    single = k;
    ++count;
  }
  if (count == 0) return;  // the layer axis
  const uint64_t first = at * array.chunk[a];
  const uint64_t last = std::min(first + array.chunk[a], array.shape[a]);
  if (count == 1) {
    const uint64_t stop = std::min(last, filled);
    uint64_t& begin = chunk.box.begin[single];
    uint64_t& end = chunk.box.end[single];
    begin = std::max(begin, std::min(first, stop));
    end = std::min(end, stop);
    begin = std::min(begin, end);
  } else {
    CKPT_CHECK(first == 0 && last == array.shape[a]);  // joined axes are never cut
  }
  const uint64_t have = std::min(last, filled) - std::min(first, filled);
  if (have < array.chunk[a]) chunk.is_full = false;
}

}  // namespace

std::vector<size_t> TensorAxesOf(std::span<const Axis> role_axes, const View& view,
                                 std::span<const Axis> tensor_axes) {
  const std::vector<uint64_t> strides = RowMajor(view.tensor.extents);
  std::vector<size_t> places;
  for (size_t k = 0; k < role_axes.size(); ++k) {
    size_t place = tensor_axes.size();
    for (size_t a = 0; a < tensor_axes.size(); ++a) {
      if (tensor_axes[a].name == role_axes[k].name) place = a;
    }
    // The axis whose elements are nearest below: several of extent 1 may share a stride, and then
    // any of them says the same.
    for (size_t a = tensor_axes.size(); place == tensor_axes.size() && a-- > 0;) {
      const bool is_inside =
          strides[a] <= view.strides[k] && view.strides[k] < strides[a] * view.tensor.extents[a];
      if (is_inside) place = a;
    }
    for (size_t a = 0; place == tensor_axes.size() && a < tensor_axes.size(); ++a) {
      if (strides[a] == view.strides[k]) place = a;  // an axis of extent 1
    }
    CKPT_CHECK(place < tensor_axes.size());
    places.push_back(place);
  }
  return places;
}

std::vector<uint64_t> ChunkStrides(const ChunkedSlice& slice, const ChunkedArray& array) {
  const std::vector<size_t>& axes = slice.array_axis;
  const std::vector<uint64_t> whole = RowMajor(array.shape.extents);
  const std::vector<uint64_t> inside = RowMajor(array.chunk);
  std::vector<uint64_t> strides(axes.size());
  for (size_t k = 0; k < axes.size(); ++k)
    strides[k] = slice.view.strides[k] / whole[axes[k]] * inside[axes[k]];
  return strides;
}

RoleBox BandBox(const RoleWork& work, uint64_t band) {
  RoleBox box;
  box.begin.resize(work.axes.size());
  for (const Axis& axis : work.axes) box.end.push_back(axis.extent);
  if (work.expert_axis) {
    box.begin[*work.expert_axis] = band / work.bands;
    box.end[*work.expert_axis] = band / work.bands + 1;
  }
  const uint64_t begin = band % work.bands * work.band_extent;
  box.begin[work.band_axis] = std::min(begin, work.units);
  box.end[work.band_axis] = std::min(begin + work.band_extent, work.units);
  return box;
}

std::vector<BandChunk> BandChunks(const ChunkedPlan& plan, const RoleWork& work,
                                  const SliceRef& ref, uint64_t band) {
  const ChunkedOutput& output = plan.outputs[ref.output];
  const ChunkedSlice& slice = output.slices[ref.slice];
  const ChunkedArray& array = output.arrays[slice.array];
  const std::vector<size_t>& axes = slice.array_axis;
  const size_t rank = array.shape.rank();

  // The interval of chunk indexes on each axis of the array; empty where the array is.
  std::vector<uint64_t> grid(rank);
  std::vector<uint64_t> begin(rank);
  std::vector<uint64_t> end(rank);
  for (size_t a = 0; a < rank; ++a) {
    grid[a] = array.chunk[a] == 0 ? 0 : CeilDiv(array.shape[a], array.chunk[a]);
    end[a] = grid[a];
  }
  const auto fix = [&](size_t axis, uint64_t index) {
    begin[axis] = index;
    end[axis] = index + 1;
  };
  if (slice.layer_axis) fix(*slice.layer_axis, slice.layer_index);
  if (work.expert_axis) fix(axes[*work.expert_axis], band / work.bands);
  fix(axes[work.band_axis], band % work.bands);

  const RoleBox band_box = BandBox(work, band);
  std::vector<BandChunk> chunks;
  ForEachIndex(begin, end, [&](std::span<const uint64_t> at) {
    BandChunk chunk;
    for (size_t a = 0; a < rank; ++a) chunk.number = chunk.number * grid[a] + at[a];
    chunk.box = band_box;
    for (size_t a = 0; a < rank; ++a) CutToChunk(slice, array, a, at[a], chunk);
    chunks.push_back(std::move(chunk));
  });
  return chunks;
}

}  // namespace ckpt
