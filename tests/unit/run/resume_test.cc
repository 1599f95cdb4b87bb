#include "run/resume.h"

#include <gtest/gtest.h>

#include "plan/plan.h"
#include "tests/unit/run/state_store.h"

namespace ckpt {
namespace {

Plan PlanOf(const std::string& digest) {
  Plan plan;
  plan.run_digest = digest;
  return plan;
}

// A run that failed with nothing recorded and nobody beside it: whether it removed what it made.
bool RemovesItsOwn(StateStore& store, const Plan& plan) {
  ShardLog log(store, plan.state_name, {});
  Error error{Code::kTemporary, "another run has begun in this destination", {}, {}, ""};
  bool has_removed = false;
  const bool is_committed = EndFailedRun(
      error, store, plan, log, {}, [] { return Result<bool>(false); },
      [&]() -> Result<void> {
        has_removed = true;
        return {};
      });
  EXPECT_FALSE(is_committed);
  return has_removed;
}

TEST(EndFailedRun, OnlyItsOwnStateIsRemovedOrWrittenTo) {
  StateStore store;
  PutMark(store, MarkOfFile());
  const auto before = store.All();
  EXPECT_FALSE(RemovesItsOwn(store, PlanOf(std::string(64, 'c')))) << "two runs began at once";
  EXPECT_EQ(store.All(), before);
  EXPECT_TRUE(RemovesItsOwn(store, PlanOf(MarkOfFile().run_digest)));
}

}  // namespace
}  // namespace ckpt
