#pragma once

#include <cstddef>
#include <span>

#include "source/catalog.h"

namespace ckpt {

/// Turns stored elements into the tensor's values, in place: little-endian, signs as they count.
/// `elements`: whole elements of `dtype`, a plain type.
void ToPlain(DType dtype, const ElementForm& form, std::span<std::byte> elements);

}  // namespace ckpt
