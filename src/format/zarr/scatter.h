#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/shape.h"

/// For format/zarr only.
namespace ckpt::zarr {

/// Copies inner chunk `number` (C order of the inner grid), dense in C order, to its place in the
/// whole chunk.
void PlaceInner(const Shape& chunk, const Shape& inner, uint64_t number, uint32_t element_bytes,
                std::span<const std::byte> elements, std::span<std::byte> out);

}  // namespace ckpt::zarr
