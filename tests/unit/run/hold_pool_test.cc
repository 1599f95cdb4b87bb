#include "run/hold_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include "base/units.h"
#include "store/store.h"

namespace ckpt {
namespace {

class HoldPoolTest : public testing::Test {
 protected:
  // A pool of so many pages.
  std::unique_ptr<HoldPool> Make(uint64_t pages) {
    return *HoldPool::Make(budget_, pages * kIoAlignment);
  }
  static HoldPool::Hold Take(HoldPool& pool, uint64_t pages) {
    return *pool.Acquire(pages * kIoAlignment, {});
  }

  MemoryBudget budget_{64 * kMiB};
};

TEST_F(HoldPoolTest, GivesSideBySideWhatWasAskedForAndTakesItBack) {
  const auto pool = Make(10);
  EXPECT_EQ(budget_.peak_bytes(), 10 * kIoAlignment);
  HoldPool::Hold first = Take(*pool, 4);
  HoldPool::Hold second = Take(*pool, 3);
  HoldPool::Hold third = *pool->Acquire(kIoAlignment + 1, {});
  EXPECT_EQ(second.span().data(), first.span().data() + 4 * kIoAlignment);
  EXPECT_EQ(third.span().size(), kIoAlignment + 1);
  const std::byte* const low = first.span().data();
  const std::byte* const middle = second.span().data();
  first = {};
  EXPECT_EQ(Take(*pool, 4).span().data(), low);  // and back at once
  second = {};
  EXPECT_EQ(Take(*pool, 7).span().data(), low);
  third = {};
  EXPECT_EQ(Take(*pool, 10).span().data(), low);
  EXPECT_GT(middle, low);
}

TEST_F(HoldPoolTest, FirstGapThatIsLargeEnough) {
  const auto pool = Make(10);
  HoldPool::Hold first = Take(*pool, 2);
  const HoldPool::Hold second = Take(*pool, 2);
  HoldPool::Hold third = Take(*pool, 3);
  const std::byte* const base = first.span().data();
  first = {};
  third = {};
  EXPECT_EQ(Take(*pool, 2).span().data(), base);
  EXPECT_EQ(Take(*pool, 3).span().data(), base + 4 * kIoAlignment);
}

TEST_F(HoldPoolTest, ALargeOneGetsItsTurnBeforeThoseThatAskLater) {
  const auto pool = Make(4);
  HoldPool::Hold first = Take(*pool, 2);
  std::vector<int> order;
  std::mutex mutex;
  std::atomic<int> asking{0};
  const auto ask = [&](uint64_t pages, int number) {
    ++asking;
    HoldPool::Hold hold = Take(*pool, pages);
    const std::lock_guard lock(mutex);
    order.push_back(number);
  };
  std::jthread large(ask, 4, 1);
  while (asking < 1) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  std::jthread small(ask, 1, 2);  // would fit at once
  while (asking < 2) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  {
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(order.empty());
  }
  first = {};
  large.join();
  small.join();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST_F(HoldPoolTest, AStopEndsTheWait) {
  const auto pool = Make(1);
  const HoldPool::Hold first = Take(*pool, 1);
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  const auto second = pool->Acquire(kIoAlignment, stop.get_token());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kInterrupted);
}

}  // namespace
}  // namespace ckpt
