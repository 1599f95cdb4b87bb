#include "base/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/checked.h"

namespace ckpt {

std::optional<uint64_t> Shape::Elements() const { return CheckedProduct(extents); }

std::string ToString(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.extents, ", "));
}

}  // namespace ckpt
