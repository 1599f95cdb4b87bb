#include "kernel/aqt.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernel/quantize.h"
#include "kernel/value_steps.h"

namespace ckpt {
namespace {

std::vector<BF16> RandomRow(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02F);
  std::vector<BF16> row(n);
  for (BF16& value : row) value = ToBF16(normal(random));
  return row;
}

TEST(Aqt, ScaleFollowsTheFormula) {
  const uint16_t one = ToBF16(1.0F).bits;
  EXPECT_EQ(AqtScaleOf(one, AqtType::kInt8).scale, ToBF16(1.0F / 127.5F));
  EXPECT_EQ(AqtScaleOf(one, AqtType::kInt4).scale, ToBF16(1.0F / 7.5F));
  EXPECT_EQ(AqtScaleOf(one, AqtType::kFp8E4M3).scale, ToBF16(1.0F / 448.0F));
  const AqtScale scale = AqtScaleOf(ToBF16(0.37F).bits, AqtType::kInt8);
  EXPECT_EQ(scale.reciprocal, ToBF16(1.0F / ToF32(scale.scale)));
}

TEST(Aqt, AZeroOrSubnormalChannelHasTheScaleOfOne) {
  for (const uint16_t bits : {uint16_t{0}, uint16_t{1}, uint16_t{0x7f}}) {
    const AqtScale scale = AqtScaleOf(bits, AqtType::kInt8);
    EXPECT_EQ(scale.scale, ToBF16(1.0F / 127.5F));
  }
  const std::vector<BF16> zeros(100);
  std::vector<std::byte> q(100, std::byte{9});
  AqtQuantizeRow(zeros.data(), zeros.size(), AqtScaleOf(0, AqtType::kInt8).reciprocal,
                 AqtType::kInt8, q.data());
  for (const std::byte value : q) EXPECT_EQ(value, std::byte{0});
}

TEST(Aqt, ATinyMaximumWhoseReciprocalOverflowsTakesOne) {
  EXPECT_EQ(AqtScaleOf(0x0080, AqtType::kInt8).reciprocal, ToBF16(1.0F));
}

TEST(Aqt, VectorsAndReferenceAgreeForAllLengthsAndTypes) {
  for (const AqtType type : {AqtType::kInt8, AqtType::kInt4, AqtType::kFp8E4M3}) {
    for (size_t n = 0; n < 300; n = n < 70 ? n + 1 : n * 2) {
      const std::vector<BF16> row = RandomRow(n, static_cast<uint32_t>(n));
      const AqtScale scale = AqtScaleOf(AbsMaxBF16(row.data(), n), type);
      std::vector<std::byte> q(n);
      std::vector<std::byte> expected(n);
      AqtQuantizeRow(row.data(), n, scale.reciprocal, type, q.data());
      reference::AqtQuantizeRow(row.data(), n, scale.reciprocal, type, expected.data());
      EXPECT_EQ(q, expected);
    }
  }
}

TEST(Aqt, NeverReachesTheLowestInteger) {
  std::vector<BF16> row(64, ToBF16(-1.0F));
  row[3] = ToBF16(1.0F);
  for (const AqtType type : {AqtType::kInt8, AqtType::kInt4}) {
    const int limit = type == AqtType::kInt8 ? 127 : 7;
    std::vector<std::byte> q(row.size());
    AqtQuantizeRow(row.data(), row.size(), AqtScaleOf(ToBF16(1.0F).bits, type).reciprocal, type,
                   q.data());
    EXPECT_EQ(static_cast<int8_t>(q[0]), -limit);
    EXPECT_EQ(static_cast<int8_t>(q[3]), limit);
  }
}

TEST(Aqt, FloatsSaturateAtTheirLargest) {
  const std::vector<BF16> row = {ToBF16(448.0F), ToBF16(500.0F), ToBF16(-9000.0F), ToBF16(1.0F)};
  std::vector<std::byte> q(row.size());
  AqtQuantizeRow(row.data(), row.size(), ToBF16(1.0F), AqtType::kFp8E4M3, q.data());
  EXPECT_EQ(F8E4M3ToF32(static_cast<uint8_t>(q[0])), 448.0F);
  EXPECT_EQ(F8E4M3ToF32(static_cast<uint8_t>(q[1])), 448.0F);
  EXPECT_EQ(F8E4M3ToF32(static_cast<uint8_t>(q[2])), -448.0F);
  EXPECT_EQ(F8E4M3ToF32(static_cast<uint8_t>(q[3])), 1.0F);
}

TEST(ValueSteps, RoundEachStepWhereAsked) {
  for (const bool is_bf16 : {false, true}) {
    std::vector<float> x;
    x.reserve(78);
    for (int i = 0; i < 77; ++i)
      x.push_back(std::ldexp(1.0F + static_cast<float>(i) / 97, i % 9 - 4));
    x.push_back(std::nanf(""));
    std::vector<float> product = x;
    std::vector<float> sum = x;
    std::vector<float> rounded = x;
    MultiplySteps(product.data(), product.size(), 0.0883883F, is_bf16);
    AddSteps(sum.data(), sum.size(), 1.0F, is_bf16);
    RoundSteps(rounded.data(), rounded.size());
    const auto keep = [&](float value) { return is_bf16 ? ToF32(ToBF16(value)) : value; };
    for (size_t i = 0; i + 1 < x.size(); ++i) {
      EXPECT_EQ(product[i], keep(x[i] * 0.0883883F));
      EXPECT_EQ(sum[i], keep(x[i] + 1.0F));
      EXPECT_EQ(rounded[i], ToF32(ToBF16(x[i])));
    }
    EXPECT_TRUE(std::isnan(product.back()) && std::isnan(sum.back()) && std::isnan(rounded.back()));
  }
}

}  // namespace
}  // namespace ckpt
