#include "store/file/io_pool.h"

#include <atomic>
#include <csignal>
#include <stdexcept>

#include "tests/store/store_test.h"

namespace ckpt {
namespace {

TEST(IoPool, DoesMoreWorkThanItsQueueHolds) {
  ASSERT_RESULT(const auto pool, IoPool::Start(2));
  std::atomic<int> done = 0;
  std::vector<IoFuture> futures;
  futures.reserve(1000);
  IoGroup group(*pool);
  for (int i = 0; i < 1000; ++i)
    futures.push_back(group.Post([&]() -> Result<void> {
      ++done;
      return {};
    }));
  for (IoFuture& future : futures) ASSERT_SUCCEEDS(future.get());
  EXPECT_EQ(done, 1000);
}

TEST(IoPool, TakesZeroThreadsAsOne) {
  ASSERT_RESULT(const auto pool, IoPool::Start(0));
  IoGroup group(*pool);
  ASSERT_SUCCEEDS(group.Post([]() -> Result<void> { return {}; }).get());
}

TEST(IoPool, TurnsExceptionsIntoErrors) {
  ASSERT_RESULT(const auto pool, IoPool::Start(1));
  IoGroup group(*pool);
  EXPECT_FAILS(Code::kResources,
               group.Post([]() -> Result<void> { throw std::bad_alloc(); }).get());
  EXPECT_FAILS(Code::kInternal,
               group.Post([]() -> Result<void> { throw std::runtime_error("odd"); }).get());
}

TEST(IoPool, LeavesSignalsToOtherThreads) {
  ASSERT_RESULT(const auto pool, IoPool::Start(1));
  IoGroup group(*pool);
  bool is_blocked = false;
  ASSERT_SUCCEEDS(group
                      .Post([&]() -> Result<void> {
                        sigset_t blocked;
                        pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
                        is_blocked = sigismember(&blocked, SIGTERM) == 1;
                        return {};
                      })
                      .get());
  EXPECT_TRUE(is_blocked);
  sigset_t here;
  pthread_sigmask(SIG_SETMASK, nullptr, &here);
  EXPECT_EQ(sigismember(&here, SIGTERM), 0);
}

TEST(IoGroup, WaitsAtItsEndForWorkWhoseFutureWasDropped) {
  ASSERT_RESULT(const auto pool, IoPool::Start(2));
  std::atomic<int> done = 0;
  {
    IoGroup group(*pool);
    for (int i = 0; i < 100; ++i)
      group.Post([&]() -> Result<void> {
        ++done;
        return {};
      });
  }
  EXPECT_EQ(done, 100);
}

}  // namespace
}  // namespace ckpt
