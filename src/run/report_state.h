#pragma once

#include <string>

#include "plan/plan_base.h"
#include "store/store.h"

namespace ckpt {

/// What the report in a destination says of the run that left it.
struct ReportState {
  enum class Kind {
    kNone,    ///< no report, or none of ours
    kFailed,  ///< why a run ended; nothing was committed
    kDone,
  };
  Kind kind = Kind::kNone;
  std::string run_digest = {};  ///< of a finished run
  std::string error = {};       ///< of a failed one: what it was
};
Result<ReportState> ReadReportState(Store& destination, std::string_view state_name = "");

/// Whether the destination's report is that of this very run, written when its output was whole.
Result<bool> HasReportOf(Store& destination, const PlanBase& plan);

/// Leaves the text of a failure (JSON, an object with "result": "failed") as the destination's
/// report, marked as ours, so that a next run clears it. Only where the destination holds no state
/// of another run than `plan`'s. The report of this very run's success stays: it was stopped
/// behind it, and a service may still carry out the rest of the commit, which is not to stand
/// beside the report of a failure. Errors: kCannotCreate where there is another's; those of the
/// store.
Result<void> WriteFailureReport(Store& destination, const std::string& text, const PlanBase& plan);

}  // namespace ckpt
