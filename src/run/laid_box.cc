#include "run/laid_box.h"

#include "base/index.h"
#include "kernel/transpose.h"

namespace ckpt {

void LayBox(const View& view, std::span<const size_t> source_axes, const Box& box,
            const RoleBox& role_box, std::span<const size_t> order, uint32_t element_bytes,
            const std::byte* from, std::byte* to) {
  std::vector<uint64_t> extents;
  for (size_t a = 0; a < box.begin.size(); ++a) extents.push_back(box.end[a] - box.begin[a]);
  const std::vector<uint64_t> whole = RowMajor(view.tensor.extents);
  const std::vector<uint64_t> dense = RowMajor(extents);
  std::vector<StridedAxis> axes;
  uint64_t to_stride = element_bytes;
  for (size_t i = order.size(); i-- > 0;) {
    const size_t k = order[i];
    const uint64_t extent = role_box.end[k] - role_box.begin[k];
    const size_t a = source_axes[k];
    const uint64_t step = extent == 1 ? 0 : view.strides[k] / whole[a] * dense[a];
    axes.push_back(
        {extent, static_cast<int64_t>(step * element_bytes), static_cast<int64_t>(to_stride)});
    to_stride *= extent;
  }
  PermuteCopy(from, to, axes, element_bytes);
}

}  // namespace ckpt
