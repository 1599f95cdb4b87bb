#include "plan/tensor_box.h"

#include "base/checked.h"
#include "base/index.h"
#include "source/read_batch.h"

namespace ckpt {
namespace {

uint64_t TouchedChunkBytes(const TensorEntry& tensor, const Box& box) {
  const ChunkedTensor& chunked = *tensor.chunked;
  const size_t rank = tensor.shape.rank();
  std::vector<uint64_t> grid(rank);
  std::vector<uint64_t> begin(rank);
  std::vector<uint64_t> end(rank);
  for (size_t a = 0; a < rank; ++a) {
    const uint64_t chunk = chunked.chunk[a];
    grid[a] = CeilDiv(tensor.shape[a], chunk);
    begin[a] = box.begin[a] / chunk;
    end[a] = CeilDiv(box.end[a], chunk);
    if (box.begin[a] >= box.end[a]) return 0;
  }
  uint64_t bytes = 0;
  ForEachIndex(begin, end, [&](std::span<const uint64_t> at) {
    uint64_t number = 0;
    for (size_t a = 0; a < rank; ++a) number = number * grid[a] + at[a];
    bytes += chunked.chunks[number].length;
  });
  return bytes;
}

}  // namespace

std::vector<size_t> SourceAxes(const View& view) {
  const std::vector<uint64_t> strides = RowMajor(view.tensor.extents);
  std::vector<size_t> axes;
  for (const uint64_t stride : view.strides) {
    size_t axis = 0;
    while (axis + 1 < strides.size() && (strides[axis] > stride || view.tensor[axis] == 1)) ++axis;
    axes.push_back(axis);
  }
  return axes;
}

Box TensorBox(const BoundRole& bound, std::span<const size_t> source_axes, const RoleBox& box) {
  const View& view = bound.view;
  const std::vector<uint64_t> strides = RowMajor(view.tensor.extents);
  Box found;
  found.begin = IndexOf(view.offset, view.tensor.extents);
  for (const uint64_t index : found.begin) found.end.push_back(index + 1);
  for (size_t k = 0; k < source_axes.size(); ++k) {
    const bool is_part = bound.parts_axis && *bound.parts_axis == k;
    if (is_part || box.end[k] == box.begin[k]) continue;
    const size_t axis = source_axes[k];
    const uint64_t step = view.strides[k] / strides[axis];
    found.begin[axis] += box.begin[k] * step;
    found.end[axis] += (box.end[k] - 1) * step;
  }
  return found;
}

uint64_t TouchedBytes(const TensorEntry& tensor, const Box& box) {
  if (tensor.chunked != nullptr) return TouchedChunkBytes(tensor, box);
  const DTypeInfo& info = Info(tensor.dtype);
  uint64_t stride = info.block_bytes;  // of the axis, in a dense tensor
  uint64_t request = info.block_bytes;
  uint64_t requests = 1;
  for (size_t a = tensor.shape.rank(); a-- > 0;) {
    const bool is_last = a + 1 == tensor.shape.rank();
    const uint64_t unit = is_last ? info.block_elements : 1;
    const uint64_t extent = CeilDiv(box.end[a] - box.begin[a], unit);
    if (extent == 0) return 0;
    if (requests == 1 && stride - request <= kMergeGapBytes) {
      request += (extent - 1) * stride;
    } else {
      requests *= extent;
    }
    stride *= CeilDiv(tensor.shape[a], unit);
  }
  return requests * request;
}

}  // namespace ckpt
