#pragma once

#include <utility>

#include "cli/conversion.h"
#include "run/report_state.h"

namespace ckpt {

/// What conversions share, whatever their plan.
template <class PlanType>
class PlannedConversion : public Conversion {
 public:
  const PlanBase& plan() const override { return plan_; }
  uint64_t budget_bytes() const override { return plan_.memory.budget_bytes; }
  uint64_t planned_peak_bytes() const override { return plan_.memory.peak_bytes; }
  std::vector<ShardPart> ShardParts(unsigned shards) const override {
    return PartsOf(plan_, shards);
  }
  const UploadBuffers& uploads() const { return plan_.memory.uploads; }

 protected:
  explicit PlannedConversion(Planned<PlanType> run) : plan_(std::move(run.plan)) {
    place = std::move(run.place);
    budget = std::move(run.budget);
  }

  /// Whether the destination's report is that of this very run, finished.
  Result<bool> HasOwnReport() const {
    CKPT_TRY(const ReportState state, ReadReportState(*destination, plan_.state_name));
    return state.kind == ReportState::Kind::kDone && state.run_digest == plan_.run_digest;
  }

  PlanType plan_;
};

}  // namespace ckpt
