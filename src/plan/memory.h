#pragma once

#include <algorithm>
#include <functional>
#include <optional>

#include "plan/plan.h"

namespace ckpt {

inline constexpr uint64_t kLeastMemoryBytes = 128ULL << 20;  ///< no budget below this is taken
/// The program itself, its threads and libraries, the catalog: what a run may hold above its
/// budget.
inline constexpr uint64_t kBesideBudgetBytes = 64ULL << 20;

/// What a reader of boxes holds beside its window, for zstd.
inline constexpr uint64_t kDecompressorBytes = 8ULL << 20;

/// Input buffers of a lane: the tile being worked on, and two whose reads are under way.
inline constexpr unsigned kInputBuffersPerLane = 3;

/// The default budget: 128 MiB for each core and two more, at most half of what the machine or its
/// control group has.
uint64_t DefaultMemoryBytes(unsigned cores, uint64_t machine_bytes);

/// The budget that is too small, or that this machine cannot give, as an error.
tl::unexpected<Error> FailBudget(const Resources& resources, uint64_t budget_bytes,
                                 uint64_t least_bytes);

/// The smallest budget, to a MiB, that `fits`.
uint64_t LeastBudget(const std::function<bool(uint64_t)>& fits);

/// The memory plan of the budget that `resources` ask for: `fit` tries a budget for a number of
/// threads. An explicit budget is never exceeded; the default rises to what one lane needs, up to
/// the most that this machine can give.
template <class MemoryPlanT>
Result<MemoryPlanT> FitBudget(
    const Resources& resources,
    const std::function<std::optional<MemoryPlanT>(uint64_t, unsigned)>& fit) {
  const bool is_explicit = resources.memory_bytes > 0;
  const uint64_t budget = is_explicit ? resources.memory_bytes
                                      : std::max(resources.least_memory_bytes, kLeastMemoryBytes);
  std::optional<MemoryPlanT> memory;
  if (budget >= kLeastMemoryBytes) memory = fit(budget, resources.threads);
  if (memory) return *memory;
  const uint64_t needed = LeastBudget([&](uint64_t bytes) { return fit(bytes, 1).has_value(); });
  const uint64_t most = std::max(resources.most_memory_bytes, kLeastMemoryBytes);
  if (!is_explicit && needed <= most) memory = fit(needed, resources.threads);
  if (memory) return *memory;
  return FailBudget(resources, budget, needed);
}

/// Bytes in which one pass of a transposed array is collected, two 4-bit values to a byte, scales
/// included.
uint64_t HoldBytes(const Plan& plan, size_t array);

/// Fills plan.memory and the passes of transposed arrays: lanes, tile and hold sizes that fit the
/// budget. Errors, with the least that would do: kUsage for a given budget, kResources without one.
Result<void> PlanMemory(Plan& plan, const Resources& resources);

}  // namespace ckpt
