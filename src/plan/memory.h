#pragma once

#include "plan/plan.h"

namespace ckpt {

inline constexpr uint64_t kLeastMemoryBytes = 128ULL << 20;  ///< no budget below this is taken

/// The default budget: 128 MiB for each core and two more, at most half of what the machine or its
/// control group has.
uint64_t DefaultMemoryBytes(unsigned cores, uint64_t machine_bytes);

/// Fills plan.memory and the passes of transposed arrays: lanes, tile and hold sizes that fit the
/// budget. Errors: kUsage with the least budget that would do.
Result<void> PlanMemory(Plan& plan, const Resources& resources);

}  // namespace ckpt
