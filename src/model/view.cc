#include "model/view.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/checked.h"

namespace ckpt {
namespace {

/// Merges each axis with the one inside it where both tensors step from one to the other without a
/// gap.
void SortAndMerge(std::vector<Mapping::Axis>& axes) {
  std::erase_if(axes, [](const Mapping::Axis& axis) { return axis.extent == 1; });
  std::stable_sort(axes.begin(), axes.end(), [](const Mapping::Axis& x, const Mapping::Axis& y) {
    return x.stride_b > y.stride_b;
  });
  std::vector<Mapping::Axis> merged;
  for (const Mapping::Axis& inner : axes) {
    if (!merged.empty() && merged.back().stride_a == inner.extent * inner.stride_a &&
        merged.back().stride_b == inner.extent * inner.stride_b) {
      merged.back() = {merged.back().extent * inner.extent, inner.stride_a, inner.stride_b};
    } else {
      merged.push_back(inner);
    }
  }
  axes = std::move(merged);
}

}  // namespace

size_t AxisNumber(std::span<const Axis> axes, std::string_view name) {
  const auto found =
      std::find_if(axes.begin(), axes.end(), [&](const Axis& axis) { return axis.name == name; });
  return static_cast<size_t>(found - axes.begin());
}

bool IsInjective(const View& view) {
  if (view.extents.size() != view.strides.size()) return false;
  const std::optional<uint64_t> elements = view.tensor.Elements();
  if (!elements) return false;
  if (std::find(view.extents.begin(), view.extents.end(), 0U) != view.extents.end()) return true;
  std::vector<size_t> order(view.extents.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t x, size_t y) { return view.strides[x] < view.strides[y]; });
  uint64_t reach = 0;  // the largest element number of the axes so far
  for (const size_t k : order) {
    if (view.extents[k] == 1) continue;
    if (view.strides[k] <= reach) return false;
    const std::optional<uint64_t> span = CheckedMul(view.extents[k] - 1, view.strides[k]);
    const std::optional<uint64_t> sum = span ? CheckedAdd(reach, *span) : std::nullopt;
    if (!sum) return false;
    reach = *sum;
  }
  const std::optional<uint64_t> last = CheckedAdd(view.offset, reach);
  return last && *last < *elements;
}

bool IsBijection(const View& view) {
  return IsInjective(view) && CheckedProduct(view.extents) == view.tensor.Elements();
}

View Cut(const View& view, size_t axis, uint64_t begin, uint64_t end) {
  CKPT_CHECK(axis < view.extents.size() && begin <= end && end <= view.extents[axis]);
  View cut = view;
  cut.extents[axis] = end - begin;
  cut.offset += begin * view.strides[axis];
  return cut;
}

std::pair<View, View> Common(const View& a, const View& b) {
  CKPT_CHECK(a.extents.size() == b.extents.size());
  std::pair<View, View> common = {a, b};
  for (size_t k = 0; k < a.extents.size(); ++k) {
    common.first.extents[k] = common.second.extents[k] = std::min(a.extents[k], b.extents[k]);
  }
  return common;
}

Mapping Compose(const View& a, const View& b) {
  CKPT_CHECK(a.extents == b.extents);
  Mapping mapping{a.offset, b.offset, {}};
  for (size_t k = 0; k < a.extents.size(); ++k) {
    mapping.axes.push_back({a.extents[k], a.strides[k], b.strides[k]});
  }
  SortAndMerge(mapping.axes);
  return mapping;
}

Mapping Invert(const Mapping& mapping) {
  Mapping inverse{mapping.offset_b, mapping.offset_a, {}};
  for (const Mapping::Axis& axis : mapping.axes) {
    inverse.axes.push_back({axis.extent, axis.stride_b, axis.stride_a});
  }
  SortAndMerge(inverse.axes);
  return inverse;
}

}  // namespace ckpt
