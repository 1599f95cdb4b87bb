#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/crc32c.h"
#include "plan/plan.h"
#include "run/execute.h"

namespace ckpt {

inline constexpr int kReportSchemaVersion = 1;
/// A report larger than this is none of ours: some hundred thousand arrays.
inline constexpr uint64_t kMostReportBytes = 256ULL << 20;
/// The report's name in a destination: ".ckpt-state/report.json", or in the state folder of a run
/// that shares its destination.
std::string ReportName(std::string_view state_name = "");

/// A small file that was written beside the arrays.
struct CompanionResult {
  std::string name;
  Crc32c crc;
};

/// What went over the network, in all.
struct NetworkFigures {
  uint64_t requests = 0;
  uint64_t received_bytes = 0;
  uint64_t sent_bytes = 0;
  std::map<std::string, uint64_t> retries;  ///< by reason
};

/// The bundles of a run, and who made them.
struct ShardFigures {
  uint64_t bundles = 0;             ///< of the plan
  uint64_t recorded = 0;            ///< when this process ended, by all
  uint64_t kept = 0;                ///< recorded before this process began
  uint64_t own = 0;                 ///< that this process was to make
  uint64_t read_again_at_most = 0;  ///< bytes of bundles that earlier processes had begun and not
                                    ///< recorded
};

/// What a run measured; all that the report says beyond the plan.
struct RunFigures {
  ExecuteResult execute;
  std::vector<CompanionResult> companions;
  double wall_s = 0;
  double cpu_s = 0;
  uint64_t peak_rss_bytes = 0;
  unsigned threads = 1;
  std::string io_mode;
  std::optional<NetworkFigures> network;  ///< where a place is remote
  ShardFigures shard;
};

/// Bits that an output stores for each of its weights, scales and zero points included.
double BitsPerWeight(const Plan& plan);

/// The report as JSON (docs/report.md): never a secret, URIs without their queries.
std::string MakeReport(const Plan& plan, const RunFigures& figures, std::string_view version);

/// The process's CPU seconds so far, and the most memory it ever had resident (VmHWM).
double CpuSeconds();
uint64_t PeakRssBytes();

}  // namespace ckpt
