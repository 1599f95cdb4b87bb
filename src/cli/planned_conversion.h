#pragma once

#include <utility>

#include "cli/conversion.h"

namespace ckpt {

/// How summaries begin.
inline constexpr std::string_view kConverted = "converted";
inline constexpr std::string_view kDoneAlready = "converted already, nothing to do:";

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

  PlanType plan_;
};

}  // namespace ckpt
