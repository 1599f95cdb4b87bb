#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "run/execute.h"
#include "run/report.h"
#include "run/shard_log.h"
#include "store/store.h"

namespace ckpt {

struct ConvertOptions {
  bool is_overwriting = false;
  unsigned threads = 1;  ///< for the report
  std::string io_mode;   ///< for the report
  std::string version;   ///< of the program
  /// The part of the bundles that this process takes.
  Shard shard = {};
  /// No other process can be at work in the destination: a lock keeps it out.
  bool is_alone = false;
  /// What earlier runs finished is read again, not only looked at, where the store allows it.
  bool is_verifying_resume = false;
  /// What went over the network so far, for the report; null: nothing is remote.
  std::function<std::optional<NetworkFigures>()> network = {};
};

/// How a run ended that met no error.
enum class Outcome : uint8_t {
  kCommitted,          ///< by this process
  kCommittedByOthers,  ///< another process of the same run was faster
  kWaiting,            ///< this shard is done; others have bundles to do
};

struct ConvertResult {
  Outcome outcome = Outcome::kCommitted;
  ShardFigures shard;
  RunFigures figures;
  std::vector<std::string> warnings;
};

/// Runs the plan, or a shard of it, into `destination`, going on with what earlier runs of it left;
/// once all bundles are recorded commits: data, head, companions, report, and last the name that
/// makes a loader accept the file. A run that fails or is stopped keeps what is recorded; where
/// nothing is, it removes everything that it made. Errors: kCannotCreate (73) for a destination
/// that is not ours, then those of Execute.
Result<ConvertResult> Convert(const Plan& plan, const Target& target, Store& source,
                              Store& destination, MemoryBudget& budget,
                              const ConvertOptions& options, Watch& watch);

}  // namespace ckpt
