#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "plan/plan_base.h"
#include "run/report.h"

namespace ckpt {

/// The part of a report that tells of the source.
nlohmann::ordered_json SourceOf(const PlanBase& plan, const SourceChecks::Verdict& checks);
/// The budget, and the peaks planned, granted and measured.
nlohmann::ordered_json MemoryOf(uint64_t budget_bytes, uint64_t planned_peak_bytes,
                                const RunFigures& figures);
/// What went over the network up to the report.
nlohmann::ordered_json NetworkOf(const NetworkFigures& network);
/// What earlier processes of the run had finished, and what they lost.
nlohmann::ordered_json ResumedOf(const ShardFigures& shard);
/// Small files with their sizes and CRC-32C.
nlohmann::ordered_json FilesOf(std::span<const CompanionResult> files);
/// A CRC-32C as reports spell it.
std::string Hex(const Crc32c& crc);
/// Bytes in and out, and what was read twice. `read`: as measured.
nlohmann::ordered_json BytesOf(const PlanBase& plan, uint64_t read_bytes, uint64_t written_bytes);

}  // namespace ckpt
