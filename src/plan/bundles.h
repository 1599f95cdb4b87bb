#pragma once

#include "plan/plan.h"

namespace ckpt {

inline constexpr uint64_t kLeastBundleBytes = 64ULL << 20;

/// The least segment of a file, but the last, where bundles are at least 16 MiB: the least part of
/// a bucket's upload. With smaller bundles it is smaller in proportion.
inline constexpr uint64_t kLeastSegmentBytes = 5ULL << 20;

/// B = max(64 MiB, largest output / 3,000 rounded up to 16 MiB).
uint64_t DefaultBundleBytes(uint64_t largest_output_bytes);

/// Fills commits, front, bundles of `plan` from its output, arrays and bundle_bytes. `front_bytes`:
/// the least size of an only file's front. Borders depend on shapes and the bundle size
/// alone: never on tiles, source or budget.
void CutBundles(Plan& plan, uint64_t front_bytes);

}  // namespace ckpt
