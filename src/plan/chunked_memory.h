#pragma once

#include "plan/chunked_plan.h"

namespace ckpt {

/// A band is worked on in stripes of this many rows and blocks of this many columns, so that what
/// is converted or quantized stays in the second-level cache.
inline constexpr uint64_t kStripeRows = 128;
inline constexpr uint64_t kStripeColumns = 2048;

/// Fills plan.memory: lanes and buffers that fit the budget.
/// Errors: kUsage with the least budget that would do.
Result<void> PlanChunkedMemory(ChunkedPlan& plan, const ChunkedOptions& options);

}  // namespace ckpt
