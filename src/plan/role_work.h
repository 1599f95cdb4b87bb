#pragma once

#include <cstdint>
#include <span>

#include "plan/chunk_box.h"
#include "plan/chunked_plan.h"
#include "plan/tile.h"

namespace ckpt {

/// How one role is read and which bands it has. `slices`: all arrays it goes to.
/// Errors: kBadInput for a layout that cannot be cut into bands, or quantized in one pass.
Result<RoleWork> MakeRoleWork(const ChunkedPlan& plan, size_t role,
                              std::span<const SliceRef> slices);

/// The source tensor that a band reads.
size_t TensorOf(const RoleWork& work, const BoundRole& bound, uint64_t band);

/// The rows of a band: of RoleWork::rows in its tensor, as MakeTile takes them.
RowSpan BandRows(const RoleWork& work, const BoundRole& bound, uint64_t band);

/// The least input buffer for a band's tile: its ranges merged where they touch.
uint64_t BandCapacity(const RoleWork& work, const TensorEntry& tensor);

}  // namespace ckpt
