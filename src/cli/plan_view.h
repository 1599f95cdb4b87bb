#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "plan/plan.h"
#include "run/report.h"

namespace ckpt {

/// The plan as a short table for people.
std::string PrintPlan(const Plan& plan);
/// The plan as one JSON object.
std::string PlanJson(const Plan& plan);

/// What every plan says, whatever its target: for the two above and for plans of chunks.
nlohmann::ordered_json SourceJson(const PlanBase& plan);
nlohmann::ordered_json BytesJson(const PlanBase& plan);
nlohmann::ordered_json RereadsJson(const PlanBase& plan);
/// A row of the table, and the rows of what is read, what again and why.
std::string PlanRow(std::string_view name, std::string_view value);
std::string SourceText(const PlanBase& plan);
std::string ReadRows(const PlanBase& plan);
std::string MemoryRow(uint64_t peak_bytes, uint64_t budget_bytes);
std::string DigestRows(const PlanBase& plan);

/// A line that tells of the network.
std::string NetworkText(const NetworkFigures& network);

/// What a finished run took: bytes, time, rate, memory; two lines.
std::string FiguresText(const RunFigures& figures, uint64_t written_bytes, uint64_t budget_bytes);

/// Warnings on standard error, one line each.
void PrintWarnings(const std::vector<std::string>& warnings);
/// The same of a notice, where there is one.
void PrintNotice(const std::string& notice);

}  // namespace ckpt
