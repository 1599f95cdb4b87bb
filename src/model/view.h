#pragma once

#include <cstdint>
#include <string>
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

/// How a role's axes lie in one tensor. Role element (i0, i1, ...), axes in the role's canonical order, is element
///   offset + sum of i_k * strides[k]
/// of the tensor read in C order. A selection (one interval or index of a tensor axis, the index of a stacked layer or
/// expert) shows as an offset and as elements of the tensor that no role element maps to.
struct View {
  Shape tensor;                    ///< of the whole tensor
  std::vector<uint64_t> extents;   ///< of the role's axes
  std::vector<uint64_t> strides;   ///< in elements of the tensor, one per role axis
  uint64_t offset = 0;             ///< in elements of the tensor
  bool operator==(const View&) const = default;
};

/// True if different role elements are different tensor elements, all inside the tensor.
bool IsInjective(const View& view);
/// True if also every tensor element is some role element (no selection).
bool IsBijection(const View& view);

}  // namespace ckpt
