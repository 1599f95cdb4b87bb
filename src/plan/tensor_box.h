#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/model.h"
#include "source/catalog.h"

namespace ckpt {

/// A part of a role: per axis the interval [begin, end).
struct RoleBox {
  std::vector<uint64_t> begin;
  std::vector<uint64_t> end;
};

/// Which axis of its tensor each axis of a view lies in: the one with the largest stride not above
/// its own.
std::vector<size_t> SourceAxes(const View& view);

/// The box of the source tensor that holds a box of its role; larger than it where the role's axes
/// are joined there in another order. `source_axes`: SourceAxes(bound.view).
Box TensorBox(const BoundRole& bound, std::span<const size_t> source_axes, const RoleBox& box);

/// Bytes that reading a box fetches: of a chunked tensor all stored chunks that it touches, else
/// its runs with the gaps between them that one request bridges.
uint64_t TouchedBytes(const TensorEntry& tensor, const Box& box);

}  // namespace ckpt
