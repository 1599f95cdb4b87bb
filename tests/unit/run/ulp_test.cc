#include "run/ulp.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace ckpt {
namespace {

template <class Bits>
UlpFigures CompareBits(DType type, std::vector<Bits> a, std::vector<Bits> b) {
  UlpFigures figures;
  CompareElements(type, reinterpret_cast<const std::byte*>(a.data()),
                  reinterpret_cast<const std::byte*>(b.data()), a.size(), 0, figures);
  return figures;
}

TEST(Ulps, AreStepsFromOneNumberOfTheTypeToTheNext) {
  EXPECT_EQ(CompareBits<uint16_t>(DType::kBF16, {0x3f80}, {0x3f81}).ulps, 1U);
  // 0.99609375 and 1: neighbours across a power of two.
  EXPECT_EQ(CompareBits<uint16_t>(DType::kBF16, {0x3f7f}, {0x3f80}).ulps, 1U);
  EXPECT_EQ(CompareBits<uint16_t>(DType::kBF16, {0x3f80}, {0x4000}).ulps, 128U);
  EXPECT_EQ(CompareBits<uint16_t>(DType::kF16, {0x3c00}, {0x4000}).ulps, 1024U);
  EXPECT_EQ(CompareBits<uint32_t>(DType::kF32, {0x3f800000}, {0x40000000}).ulps, 1U << 23U);
  EXPECT_EQ(CompareBits<uint64_t>(DType::kF64, {std::bit_cast<uint64_t>(1.0)},
                                  {std::bit_cast<uint64_t>(std::nextafter(1.0, 2.0))})
                .ulps,
            1U);
  EXPECT_EQ(CompareBits<uint8_t>(DType::kF8E4M3, {0x38}, {0x3a}).ulps, 2U);
  EXPECT_EQ(CompareBits<uint8_t>(DType::kF8E5M2, {0x3c}, {0x3d}).ulps, 1U);
}

TEST(Ulps, CountAcrossZeroWhoseTwoSignsAreNeighbours) {
  const UlpFigures zeros = CompareBits<uint16_t>(DType::kBF16, {0x8000}, {0x0000});
  EXPECT_EQ(zeros.different, 1U);
  EXPECT_EQ(zeros.ulps, 1U);
  EXPECT_EQ(zeros.difference, 0);
  // The smallest negative and positive numbers.
  EXPECT_EQ(CompareBits<uint16_t>(DType::kBF16, {0x8001}, {0x0001}).ulps, 3U);
  EXPECT_EQ(CompareBits<uint64_t>(DType::kF64, {0xffefffffffffffff}, {0x7fefffffffffffff}).ulps,
            2 * 0x7fefffffffffffffULL + 1);
}

TEST(Ulps, EqualNaNsAreEqualAndOthersHaveNone) {
  EXPECT_EQ(CompareBits<uint16_t>(DType::kBF16, {0x7fc0}, {0x7fc0}).different, 0U);
  const UlpFigures other =
      CompareBits<uint16_t>(DType::kBF16, {0x7fc0, 0x3f80, 0x3f80}, {0x7fc1, 0x7fc0, 0x3f82});
  EXPECT_EQ(other.different, 3U);
  EXPECT_EQ(other.nans, 2U);
  EXPECT_EQ(other.ulps, 2U);
  EXPECT_EQ(other.worst, 2U);  // the number, though NaNs come first
  EXPECT_EQ(CompareBits<uint16_t>(DType::kBF16, {0, 0x7fc0}, {0, 0x3f80}).worst, 1U);
}

TEST(Ulps, FindTheFirstOfTheLargestAndTheLargestDifference) {
  std::vector<uint16_t> a(1000, 0x3f80);
  std::vector<uint16_t> b = a;
  b[300] = 0x3f83;  // 3 ULPs
  b[700] = 0x3f83;
  a[900] = b[900] = 0x4b00;  // 2^23 * 1: one ULP is 65536
  b[900] = 0x4b01;
  const UlpFigures figures = CompareBits<uint16_t>(DType::kBF16, a, b);
  EXPECT_EQ(figures.elements, 1000U);
  EXPECT_EQ(figures.different, 3U);
  EXPECT_EQ(figures.ulps, 3U);
  EXPECT_EQ(figures.worst, 300U);
  EXPECT_EQ(figures.worst_a, 1.0);
  EXPECT_EQ(figures.worst_b, 1.0234375);
  EXPECT_EQ(figures.difference, 65536.0);
}

TEST(Ulps, InfinityIsANumberAtTheEnd) {
  const UlpFigures figures = CompareBits<uint16_t>(DType::kBF16, {0x7f7f}, {0x7f80});
  EXPECT_EQ(figures.ulps, 1U);
  EXPECT_EQ(figures.difference, std::numeric_limits<double>::infinity());
}

TEST(Ulps, TheCoarserTypeHasFewerBitsOfPrecision) {
  EXPECT_EQ(CoarserType(DType::kF32, DType::kBF16), DType::kBF16);
  EXPECT_EQ(CoarserType(DType::kBF16, DType::kF16), DType::kBF16);
  EXPECT_EQ(CoarserType(DType::kF16, DType::kF32), DType::kF16);
  EXPECT_EQ(CoarserType(DType::kF64, DType::kF64), DType::kF64);
  EXPECT_EQ(CoarserType(DType::kF8E4M3, DType::kF8E5M2), DType::kF8E5M2);
  EXPECT_FALSE(HasUlps(DType::kI8));
  EXPECT_FALSE(HasUlps(DType::kQ4_0));
}

TEST(Ulps, RoundToEveryTypeHalfToEven) {
  const std::vector<float> values = {1.0F, 1.00390625F, 1.01171875F};  // 1, 1 1/2, 3 1/2 ULPs bf16
  std::vector<uint16_t> rounded(3);
  RoundTo(DType::kBF16, values.data(), reinterpret_cast<std::byte*>(rounded.data()), 3);
  EXPECT_EQ(rounded, (std::vector<uint16_t>{0x3f80, 0x3f80, 0x3f82}));
  RoundTo(DType::kF16, values.data(), reinterpret_cast<std::byte*>(rounded.data()), 3);
  EXPECT_EQ(rounded, (std::vector<uint16_t>{0x3c00, 0x3c04, 0x3c0c}));
  std::vector<float> same(3);
  RoundTo(DType::kF32, values.data(), reinterpret_cast<std::byte*>(same.data()), 3);
  EXPECT_EQ(same, values);
}

TEST(Ulps, ZerosOfEitherSignAreZeros) {
  std::vector<float> values(100, 0.0F);
  values[50] = -0.0F;
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  EXPECT_TRUE(AreZeros(DType::kF32, bytes, values.size()));
  values[99] = std::numeric_limits<float>::denorm_min();
  EXPECT_FALSE(AreZeros(DType::kF32, bytes, values.size()));
}

}  // namespace
}  // namespace ckpt
