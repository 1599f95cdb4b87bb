#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "plan/chunked_plan.h"
#include "plan/plan.h"

namespace ckpt {

/// Bytes that so many elements of a tensor take in the source; of a tensor in chunks their share of
/// what is stored.
uint64_t StoredBytesOf(const TensorEntry& tensor, uint64_t elements);

/// Bytes and requests that one reading of the rows asks of the source. A plan's totals are sums of
/// these. After PlanMemory: boxes are cut to the memory there is.
struct Reading {
  uint64_t bytes = 0;
  uint64_t requests = 0;  ///< of arrays whose rows are boxes; of others the tile size tells
};
Reading ReadingOf(const Plan& plan, const RowSpan& span);

/// How often the rows of an array are read: passes, and once more where a statistic comes first.
uint64_t ReadingsOf(const Plan& plan, size_t array);

/// Why boxes of a tensor ("tiles", "bands") read `read` bytes of it where `used` would do.
std::string WhyMore(const TensorEntry& tensor, std::string_view boxes, uint64_t read,
                    uint64_t used);

/// Bytes that band `band` of a role asks of the source. The same whatever the memory; the most, for
/// bands that go on in a large compressed chunk where the one before ended (BoxReader) ask less.
uint64_t BandReadBytes(const ChunkedPlan& plan, const RoleWork& work, uint64_t band);

}  // namespace ckpt
