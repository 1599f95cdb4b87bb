#include "base/memory_budget.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>
#include <utility>

namespace ckpt {
namespace {

// Bytes that are free.
Grant Take(MemoryBudget& budget, uint64_t bytes) {
  auto grant = budget.TryAcquire(bytes);
  EXPECT_TRUE(grant) << bytes;
  return std::move(grant).value_or(Grant());
}

// Waits until a thread stands in the queue: then not even nothing is granted at once.
void AwaitQueue(MemoryBudget& budget) {
  while (budget.TryAcquire(0)) std::this_thread::yield();
}

TEST(MemoryBudget, GrantsUpToItsLimitAndTakesBack) {
  MemoryBudget budget(100);
  {
    const auto a = budget.Acquire(60);
    ASSERT_TRUE(a);
    EXPECT_EQ(a->bytes(), 60U);
    EXPECT_FALSE(budget.TryAcquire(41));
    EXPECT_TRUE(budget.TryAcquire(40));
    EXPECT_EQ(budget.used_bytes(), 60U);
  }
  EXPECT_EQ(budget.used_bytes(), 0U);
  EXPECT_EQ(budget.peak_bytes(), 100U);
}

TEST(MemoryBudget, RefusesMoreThanItsLimitAtOnce) {
  MemoryBudget budget(100);
  EXPECT_EQ(budget.Acquire(101).error().code, Code::kResources);
}

TEST(MemoryBudget, MovesAGrantWithoutCountingItTwice) {
  MemoryBudget budget(100);
  Grant a = Take(budget, 30);
  Grant b = std::move(a);
  EXPECT_EQ(budget.used_bytes(), 30U);
  b = Take(budget, 50);
  EXPECT_EQ(budget.used_bytes(), 50U);
}

TEST(MemoryBudget, WakesAWaiterWhenBytesAreFree) {
  MemoryBudget budget(100);
  auto first = std::make_optional(Take(budget, 80));
  auto waiter = std::async(std::launch::async, [&] { return budget.Acquire(50).has_value(); });
  AwaitQueue(budget);
  first.reset();
  EXPECT_TRUE(waiter.get());
}

TEST(MemoryBudget, ServesWaitersInOrderSoThatLargeOnesDoNotStarve) {
  MemoryBudget budget(100);
  auto first = std::make_optional(Take(budget, 80));
  auto large = std::async(std::launch::async, [&] { return budget.Acquire(90).has_value(); });
  AwaitQueue(budget);
  EXPECT_FALSE(budget.TryAcquire(10));  // would fit, but the large one came first
  first.reset();
  EXPECT_TRUE(large.get());
}

TEST(MemoryBudget, EndsAWaitThatIsStopped) {
  MemoryBudget budget(100);
  const auto held = budget.TryAcquire(80);
  std::stop_source stop;
  auto waiter = std::async(std::launch::async,
                           [&] { return budget.Acquire(50, stop.get_token()).error().code; });
  AwaitQueue(budget);
  stop.request_stop();
  EXPECT_EQ(waiter.get(), Code::kInterrupted);
  EXPECT_TRUE(budget.TryAcquire(20));  // nobody stands in the way any more
}

TEST(MemoryBudget, EndsAStoppedWaitThoughAnotherStillWaitsBeforeIt) {
  MemoryBudget budget(100);
  auto held = std::make_optional(Take(budget, 80));
  auto front = std::async(std::launch::async, [&] { return budget.Acquire(90).has_value(); });
  AwaitQueue(budget);
  std::stop_source stop;
  stop.request_stop();
  auto behind = std::async(std::launch::async,
                           [&] { return budget.Acquire(1, stop.get_token()).error().code; });
  EXPECT_EQ(behind.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  held.reset();
  EXPECT_EQ(behind.get(), Code::kInterrupted);
  EXPECT_TRUE(front.get());
  EXPECT_TRUE(budget.TryAcquire(1));  // the queue is empty again
}

}  // namespace
}  // namespace ckpt
