#include "base/float.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace ckpt {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float Bits(uint32_t bits) { return std::bit_cast<float>(bits); }

TEST(BF16, RoundsToNearestEven) {
  EXPECT_EQ(ToBF16(Bits(0x3f808000)).bits, 0x3f80);  // a tie, down to even
  EXPECT_EQ(ToBF16(Bits(0x3f818000)).bits, 0x3f82);  // a tie, up to even
  EXPECT_EQ(ToBF16(Bits(0x3f808001)).bits, 0x3f81);
  EXPECT_EQ(ToBF16(Bits(0x3f807fff)).bits, 0x3f80);
}

TEST(BF16, KeepsZerosInfinitiesAndNaNs) {
  EXPECT_EQ(ToBF16(-0.0F).bits, 0x8000);
  EXPECT_EQ(ToBF16(kInfinity).bits, 0x7f80);
  EXPECT_EQ(ToBF16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(ToBF16(Bits(0x7f800001)).bits, 0x7fc0);  // stays a NaN though its payload is cut
  EXPECT_EQ(ToBF16(Bits(0xffa12345)).bits, 0xffe1);
}

TEST(BF16, EveryValueSurvivesFloat32) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const BF16 x{static_cast<uint16_t>(bits)};
    const float f = ToF32(x);
    ASSERT_TRUE(std::isnan(f) || ToBF16(f) == x) << bits;
  }
}

// By the definition: sign, 5 exponent bits of bias 15, 10 bits of fraction.
double F16ByDefinition(uint32_t bits) {
  const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
  const int exponent = static_cast<int>((bits >> 10U) & 31U);
  const double fraction = bits & 1023U;
  return sign *
         (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

TEST(F16, DecodesEveryFiniteValueByDefinition) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if (((bits >> 10U) & 31U) == 31) continue;
    ASSERT_EQ(F16ToF32(static_cast<uint16_t>(bits)), static_cast<float>(F16ByDefinition(bits)))
        << bits;
    ASSERT_EQ(F32ToF16(F16ToF32(static_cast<uint16_t>(bits))), bits);
  }
}

TEST(F16, KeepsInfinitiesAndNaNs) {
  EXPECT_EQ(F16ToF32(0x7c00), kInfinity);
  EXPECT_EQ(F16ToF32(0xfc00), -kInfinity);
  EXPECT_TRUE(std::isnan(F16ToF32(0x7c01)));
  EXPECT_EQ(F32ToF16(kInfinity), 0x7c00);
  EXPECT_EQ(F32ToF16(std::numeric_limits<float>::quiet_NaN()) & 0x7e00, 0x7e00);
}

// Halfway between neighbours rounds to the even one; a little to either side to the nearer one.
template <class Decode, class Encode>
void ExpectNearestEven(const Decode& decode, const Encode& encode, uint32_t last_finite) {
  for (uint32_t low = 0; low < last_finite; ++low) {
    const double a = decode(low);
    const double b = decode(low + 1);
    const auto middle = static_cast<float>((a + b) / 2);
    ASSERT_EQ(encode(middle), low % 2 == 0 ? low : low + 1) << low;
    ASSERT_EQ(encode(std::nextafter(middle, -kInfinity)), low) << low;
    ASSERT_EQ(encode(std::nextafter(middle, kInfinity)), low + 1) << low;
  }
}

TEST(F16, RoundsEveryTieToEven) {
  ExpectNearestEven([](uint32_t bits) { return F16ToF32(static_cast<uint16_t>(bits)); },
                    [](float x) { return uint32_t{F32ToF16(x)}; }, 0x7bff);
}

TEST(F16, OverflowsToInfinityFromHalfAStepAboveTheLargest) {
  EXPECT_EQ(F32ToF16(65519.996F), 0x7bff);
  EXPECT_EQ(F32ToF16(65520.0F), 0x7c00);
  EXPECT_EQ(F32ToF16(-1e30F), 0xfc00);
}

TEST(F16, UnderflowsToZeroWithItsSign) {
  EXPECT_EQ(F32ToF16(std::ldexp(1.0F, -25)), 0);  // a tie with zero
  EXPECT_EQ(F32ToF16(std::nextafter(std::ldexp(1.0F, -25), 1.0F)), 1);
  EXPECT_EQ(F32ToF16(-1e-30F), 0x8000);
  EXPECT_EQ(F32ToF16(std::numeric_limits<float>::denorm_min()), 0);
}

TEST(F8E4M3, HasTheValuesOfOcp) {
  EXPECT_EQ(F8E4M3ToF32(0x7e), 448.0F);
  EXPECT_EQ(F8E4M3ToF32(0x38), 1.0F);
  EXPECT_EQ(F8E4M3ToF32(0x01), std::ldexp(1.0F, -9));
  EXPECT_EQ(F8E4M3ToF32(0x08), std::ldexp(1.0F, -6));
  EXPECT_TRUE(std::isnan(F8E4M3ToF32(0x7f)));
  EXPECT_TRUE(std::isnan(F8E4M3ToF32(0xff)));
}

TEST(F8E4M3, RoundsEveryTieToEven) {
  ExpectNearestEven([](uint32_t bits) { return F8E4M3ToF32(static_cast<uint8_t>(bits)); },
                    [](float x) { return uint32_t{F32ToF8E4M3(x)}; }, 0x7e);
}

TEST(F8E4M3, OverflowsToNaNAsItHasNoInfinity) {
  EXPECT_EQ(F32ToF8E4M3(464.0F), 0x7e);  // a tie with 480, which does not exist: to the even 448
  EXPECT_EQ(F32ToF8E4M3(std::nextafter(464.0F, kInfinity)), 0x7f);
  EXPECT_EQ(F32ToF8E4M3(1e30F), 0x7f);
  EXPECT_EQ(F32ToF8E4M3(-kInfinity), 0xff);
  EXPECT_EQ(F32ToF8E4M3(std::numeric_limits<float>::quiet_NaN()), 0x7f);
}

TEST(F8E5M2, HasTheValuesOfOcpAndInfinities) {
  EXPECT_EQ(F8E5M2ToF32(0x7b), 57344.0F);
  EXPECT_EQ(F8E5M2ToF32(0x3c), 1.0F);
  EXPECT_EQ(F8E5M2ToF32(0x01), std::ldexp(1.0F, -16));
  EXPECT_EQ(F8E5M2ToF32(0x7c), kInfinity);
  EXPECT_TRUE(std::isnan(F8E5M2ToF32(0x7d)));
  EXPECT_EQ(F32ToF8E5M2(1e30F), 0x7c);
  EXPECT_EQ(F32ToF8E5M2(61440.0F), 0x7c);
  EXPECT_EQ(F32ToF8E5M2(std::nextafter(61440.0F, 0.0F)), 0x7b);
  EXPECT_EQ(F32ToF8E5M2(-kInfinity), 0xfc);
  EXPECT_GT(F32ToF8E5M2(std::numeric_limits<float>::quiet_NaN()) & 0x7f, 0x7c);
}

TEST(F8E5M2, RoundsEveryTieToEven) {
  ExpectNearestEven([](uint32_t bits) { return F8E5M2ToF32(static_cast<uint8_t>(bits)); },
                    [](float x) { return uint32_t{F32ToF8E5M2(x)}; }, 0x7b);
}

}  // namespace
}  // namespace ckpt
