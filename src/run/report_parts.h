#pragma once

#include <nlohmann/json_fwd.hpp>

#include "plan/plan_base.h"

namespace ckpt {

/// The part of a report that tells of the source.
nlohmann::ordered_json SourceOf(const PlanBase& plan);
/// Bytes in and out, and what was read twice. `read`: as measured.
nlohmann::ordered_json BytesOf(const PlanBase& plan, uint64_t read_bytes, uint64_t written_bytes);

}  // namespace ckpt
