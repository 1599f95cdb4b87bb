#include "base/checked.h"

#include <gtest/gtest.h>

#include <array>

namespace ckpt {
namespace {

TEST(Checked, GivesNothingWhereTheResultDoesNotFit) {
  EXPECT_EQ(CheckedAdd(UINT64_MAX - 1, 1), UINT64_MAX);
  EXPECT_EQ(CheckedAdd(UINT64_MAX, 1), std::nullopt);
  EXPECT_EQ(CheckedMul(1ULL << 32U, 1ULL << 31U), 1ULL << 63U);
  EXPECT_EQ(CheckedMul(1ULL << 32U, 1ULL << 32U), std::nullopt);
}

TEST(Checked, ProductFailsAtItsFirstOverflowEvenBeforeAZero) {
  EXPECT_EQ(CheckedProduct(std::array<uint64_t, 3>{2, 3, 4}), 24U);
  EXPECT_EQ(CheckedProduct(std::span<const uint64_t>()), 1U);
  EXPECT_EQ(CheckedProduct(std::array<uint64_t, 3>{1ULL << 32U, 1ULL << 32U, 0}), std::nullopt);
  EXPECT_EQ(CheckedProduct(std::array<uint64_t, 3>{0, 1ULL << 32U, 1ULL << 32U}), 0U);
}

TEST(Checked, RoundsToMultiples) {
  EXPECT_EQ(CeilDiv(7, 3), 3U);
  EXPECT_EQ(CeilDiv(6, 3), 2U);
  EXPECT_EQ(CeilDiv(UINT64_MAX, 2), 1ULL << 63U);
  EXPECT_EQ(RoundUp(5, 4), 8U);
  EXPECT_EQ(RoundUp(8, 4), 8U);
  EXPECT_EQ(RoundDown(7, 4), 4U);
}

}  // namespace
}  // namespace ckpt
