#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "run/execute.h"
#include "run/report.h"
#include "store/store.h"

namespace ckpt {

struct ConvertOptions {
  bool is_overwriting = false;
  unsigned threads = 1;  ///< for the report
  std::string io_mode;   ///< for the report
  std::string version;   ///< of the program
  /// What went over the network so far, for the report; null: nothing is remote.
  std::function<std::optional<NetworkFigures>()> network = {};
};

struct ConvertResult {
  RunFigures figures;
  std::vector<std::string> warnings;
};

/// Runs the plan into `destination` and commits: data, head, companions, report, and last the name
/// that makes a loader accept the file. A run that fails or is stopped removes everything that it
/// made. Errors: kCannotCreate (73) for a destination that is not ours, then those of Execute.
Result<ConvertResult> Convert(const Plan& plan, const Target& target, Store& source,
                              Store& destination, MemoryBudget& budget,
                              const ConvertOptions& options, Watch& watch);

}  // namespace ckpt
