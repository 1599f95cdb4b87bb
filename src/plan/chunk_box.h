#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plan/chunked_plan.h"
#include "plan/tensor_box.h"

namespace ckpt {

/// Which axis of a tensor each of a role's axes lies in, in the role's order: by its name, else (of
/// joined axes) by its stride.
std::vector<size_t> TensorAxesOf(std::span<const Axis> role_axes, const View& view,
                                 std::span<const Axis> tensor_axes);

/// Elements of a chunk (C order) from one index of a role's axis to the next, in the role's order.
std::vector<uint64_t> ChunkStrides(const ChunkedSlice& slice, const ChunkedArray& array);

/// One chunk of a band.
struct BandChunk {
  uint64_t number = 0;  ///< C order over the array's whole grid
  RoleBox box;          ///< role elements that it holds; empty where all of it is fill
  bool is_full = true;  ///< no fill: every element comes from the role
};

/// The chunks of band `band` (expert * bands + band) of `ref`, in the order in which they are
/// stored: C order over the axes that a band does not fix.
std::vector<BandChunk> BandChunks(const ChunkedPlan& plan, const RoleWork& work,
                                  const SliceRef& ref, uint64_t band);

/// The part of the role that a band reads; empty on the band axis where all of it is fill.
RoleBox BandBox(const RoleWork& work, uint64_t band);

}  // namespace ckpt
