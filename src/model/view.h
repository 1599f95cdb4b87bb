#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/shape.h"

namespace ckpt {

/// A named axis of a role: "h" (heads) of 32.
struct Axis {
  std::string name;
  uint64_t extent = 0;
  bool operator==(const Axis&) const = default;
};

/// The number of the axis of this name; axes.size() where there is none.
size_t AxisNumber(std::span<const Axis> axes, std::string_view name);

/// How a role's axes lie in one tensor. Role element (i0, i1, ...), axes in the role's canonical
/// order, is element
///   offset + sum of i_k * strides[k]
/// of the tensor read in C order. A selection (one interval or index of a tensor axis, the index of
/// a stacked layer or expert) shows as an offset and as elements of the tensor that no role element
/// maps to. A cut axis has a smaller extent here than in the role; a padded one leaves elements at
/// its end that no role element maps to.
struct View {
  Shape tensor;                   ///< of the whole tensor
  std::vector<uint64_t> extents;  ///< of the role's axes, as far as the tensor has them
  std::vector<uint64_t> strides;  ///< in elements of the tensor, one per role axis
  uint64_t offset = 0;            ///< in elements of the tensor
  bool operator==(const View&) const = default;
};

/// True if different role elements are different tensor elements, all inside the tensor.
/// Exact for views whose axes nest (each stride exceeds the reach of all smaller ones), as those of
/// every layout do; a view that does not nest is refused, even where its elements happen to differ.
bool IsInjective(const View& view);
/// True if also every tensor element is some role element (no selection).
bool IsBijection(const View& view);

/// `view` cut to the role elements begin <= i < end of axis number `axis`; index begin becomes 0.
/// Requires begin <= end <= extent.
View Cut(const View& view, size_t axis, uint64_t begin, uint64_t end);

/// Both views cut to the role elements that both have, where one of them has an axis cut (the first
/// elements stay). Requires views of one role.
std::pair<View, View> Common(const View& a, const View& b);

/// The element mapping between two tensors: for all i, element offset_a + sum of i_k * stride_a_k
/// of the first belongs to element offset_b + sum of i_k * stride_b_k of the second.
struct Mapping {
  struct Axis {
    uint64_t extent = 0;
    uint64_t stride_a = 0;
    uint64_t stride_b = 0;
    bool operator==(const Axis&) const = default;
  };
  uint64_t offset_a = 0;
  uint64_t offset_b = 0;
  std::vector<Axis>
      axes;  ///< by descending stride_b: walking them writes the second tensor front to back
  bool operator==(const Mapping&) const = default;
};

/// From two views of one role (equal extents), with the fewest axes: those of extent 1 are gone,
/// and neighbours that continue each other in both tensors are one. Two equal layouts give one axis
/// of strides 1.
Mapping Compose(const View& a, const View& b);
/// The same pairs, seen from the second tensor.
Mapping Invert(const Mapping& mapping);

}  // namespace ckpt
