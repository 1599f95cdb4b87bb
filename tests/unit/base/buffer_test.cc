#include "base/buffer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <utility>

namespace ckpt {
namespace {

Buffer Make(MemoryBudget& budget, uint64_t bytes) {
  auto buffer = Buffer::Allocate(budget.TryAcquire(bytes).value_or(Grant()));
  EXPECT_TRUE(buffer) << "no memory for the test";
  return buffer ? *std::move(buffer) : Buffer();
}

TEST(Buffer, IsPageAlignedAndLargeOnesHugePageAligned) {
  MemoryBudget budget(16 << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(Make(budget, 5000).data()) % 4096, 0U);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(Make(budget, 3 << 20).data()) % (2 << 20), 0U);
}

TEST(Buffer, MayBeUsedToItsLastByte) {
  MemoryBudget budget(16 << 20);
  for (const uint64_t size : {1ULL, 4096ULL, 5000ULL, 2ULL << 20U, (2ULL << 20U) + 1}) {
    Buffer buffer = Make(budget, size);
    ASSERT_EQ(buffer.size(), size);
    std::memset(buffer.data(), 0x5a, size);
    EXPECT_EQ(buffer.data()[size - 1], std::byte{0x5a});
  }
}

TEST(Buffer, GivesItsGrantBackWhenItEnds) {
  MemoryBudget budget(1 << 20);
  {
    const Buffer buffer = Make(budget, 1000);
    EXPECT_EQ(budget.used_bytes(), 1000U);
  }
  EXPECT_EQ(budget.used_bytes(), 0U);
}

TEST(Buffer, MovesItsMemoryAndGrant) {
  MemoryBudget budget(1 << 20);
  Buffer a = Make(budget, 1000);
  std::byte* const data = a.data();
  Buffer b = std::move(a);
  EXPECT_EQ(b.data(), data);
  b = Make(budget, 500);
  EXPECT_EQ(budget.used_bytes(), 500U);
}

TEST(Buffer, OfNothingIsEmpty) {
  MemoryBudget budget(10);
  EXPECT_EQ(Make(budget, 0).size(), 0U);
}

}  // namespace
}  // namespace ckpt
