#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ckpt {

/// Elements from one index of each axis to the next, in C order; the last is 1.
inline std::vector<uint64_t> RowMajor(std::span<const uint64_t> extents) {
  std::vector<uint64_t> strides(extents.size());
  uint64_t stride = 1;
  for (size_t axis = extents.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= extents[axis];
  }
  return strides;
}

/// The index of an element, given by its number in C order. No extent is 0.
inline std::vector<uint64_t> IndexOf(uint64_t element, std::span<const uint64_t> extents) {
  std::vector<uint64_t> index(extents.size());
  for (size_t axis = index.size(); axis-- > 0;) {
    index[axis] = element % extents[axis];
    element /= extents[axis];
  }
  return index;
}

/// Calls `visit(span of indexes)` for every index of the box [begin, end), in C order: once with no
/// index at all for a box of no axes, never for an empty one.
template <class Visit>
void ForEachIndex(std::span<const uint64_t> begin, std::span<const uint64_t> end, Visit visit) {
  for (size_t k = 0; k < begin.size(); ++k) {
    if (begin[k] >= end[k]) return;
  }
  std::vector<uint64_t> at(begin.begin(), begin.end());
  while (true) {
    visit(std::span<const uint64_t>(at));
    size_t k = at.size();
    while (k > 0 && ++at[k - 1] == end[k - 1]) {
      at[k - 1] = begin[k - 1];
      --k;
    }
    if (k == 0) return;
  }
}

}  // namespace ckpt
