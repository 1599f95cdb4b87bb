#include "source/box_runs.h"

#include <algorithm>

#include "base/check.h"

namespace ckpt {
namespace {

// The last axis in blocks instead of elements.
Box InBlocks(const Box& box, uint64_t block_elements) {
  if (block_elements == 1 || box.begin.empty()) return box;
  Box blocks = box;
  CKPT_CHECK(box.begin.back() % block_elements == 0 && box.end.back() % block_elements == 0);
  blocks.begin.back() /= block_elements;
  blocks.end.back() /= block_elements;
  return blocks;
}

}  // namespace

Box WholeBox(const Shape& shape) { return {std::vector<uint64_t>(shape.rank(), 0), shape.extents}; }

Box Intersect(const Box& a, const Box& b) {
  Box common;
  for (size_t axis = 0; axis < a.begin.size(); ++axis) {
    common.begin.push_back(std::max(a.begin[axis], b.begin[axis]));
    common.end.push_back(std::max(common.begin.back(), std::min(a.end[axis], b.end[axis])));
  }
  return common;
}

bool IsEmpty(const Box& box) {
  for (size_t axis = 0; axis < box.begin.size(); ++axis) {
    if (box.begin[axis] >= box.end[axis]) return true;
  }
  return false;
}

uint64_t BoxBytes(DType dtype, const Box& box) {
  const DTypeInfo& info = Info(dtype);
  const Box blocks = InBlocks(box, info.block_elements);
  uint64_t bytes = info.block_bytes;
  for (size_t axis = 0; axis < blocks.begin.size(); ++axis)
    bytes *= blocks.end[axis] - blocks.begin[axis];
  return bytes;
}

BoxRuns::BoxRuns(DType dtype, const Box& source, const std::vector<uint64_t>& byte_strides,
                 const Box& box) {
  const DTypeInfo& info = Info(dtype);
  const Box from = InBlocks(source, info.block_elements);
  const Box to = InBlocks(box, info.block_elements);
  const Box common = Intersect(from, to);
  run_bytes_ = info.block_bytes;
  is_over_ = IsEmpty(common);
  if (is_over_) return;

  uint64_t out_stride = info.block_bytes;
  for (size_t axis = common.begin.size(); axis-- > 0;) {
    const uint64_t extent = common.end[axis] - common.begin[axis];
    source_ += (common.begin[axis] - from.begin[axis]) * byte_strides[axis];
    out_ += (common.begin[axis] - to.begin[axis]) * out_stride;
    if (extent > 1) axes_.push_back({extent, byte_strides[axis], out_stride, 0});
    out_stride *= to.end[axis] - to.begin[axis];
  }
  // Ascending bytes of the source: innermost is what has the smallest stride there.
  std::stable_sort(axes_.begin(), axes_.end(),
                   [](const Axis& a, const Axis& b) { return a.source_stride < b.source_stride; });
  // From the inside out, what is dense on both sides is one run.
  size_t dense = 0;
  while (dense < axes_.size() && axes_[dense].source_stride == run_bytes_ &&
         axes_[dense].out_stride == run_bytes_) {
    run_bytes_ *= axes_[dense].extent;
    ++dense;
  }
  axes_.erase(axes_.begin(), axes_.begin() + static_cast<std::ptrdiff_t>(dense));
  std::reverse(axes_.begin(), axes_.end());

  total_bytes_ = run_bytes_;
  reach_ = {source_, source_ + run_bytes_};
  for (const Axis& axis : axes_) {
    total_bytes_ *= axis.extent;
    reach_.end += (axis.extent - 1) * axis.source_stride;
  }
}

bool BoxRuns::Next(BoxRun& run) {
  if (is_over_) return false;
  run = {source_, out_, run_bytes_};
  is_over_ = true;
  for (size_t i = axes_.size(); i-- > 0;) {
    Axis& axis = axes_[i];
    source_ += axis.source_stride;
    out_ += axis.out_stride;
    if (++axis.index < axis.extent) {
      is_over_ = false;
      break;
    }
    source_ -= axis.extent * axis.source_stride;
    out_ -= axis.extent * axis.out_stride;
    axis.index = 0;
  }
  return true;
}

}  // namespace ckpt
