#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

namespace ckpt {

/// Extents of a tensor, outermost first (C order). A scalar has rank 0.
struct Shape {
  std::vector<uint64_t> extents;

  Shape() = default;
  Shape(std::initializer_list<uint64_t> list) : extents(list) {}
  explicit Shape(std::vector<uint64_t> list) : extents(std::move(list)) {}

  size_t rank() const { return extents.size(); }
  uint64_t operator[](size_t axis) const { return extents[axis]; }
  /// Product of the extents; nothing on overflow.
  std::optional<uint64_t> Elements() const;
  bool operator==(const Shape&) const = default;
};

/// "[4096, 128]"; "[]" for a scalar.
std::string ToString(const Shape& shape);

}  // namespace ckpt
