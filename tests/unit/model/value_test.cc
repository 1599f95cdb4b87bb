#include "model/value.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/float.h"

namespace ckpt {
namespace {

using Kind = ValueStep::Kind;

/// The query of a head of 128: bf16(f32(bf16(x)) * f32(1 / sqrt(128))).
ValueProgram Query(double width) {
  const double factor = 1 / std::sqrt(width);
  return {{Kind::kCast, DType::kBF16},
          {Kind::kMultiply, DType::kF32, static_cast<float>(factor), factor},
          {Kind::kCast, DType::kBF16}};
}
/// Gemma's norms: bf16(x) + 1.
ValueProgram PlusOne() { return {{Kind::kCast, DType::kBF16}, {Kind::kAdd, DType::kBF16, 1, 1}}; }
/// Gemma's embedding of width 2560: both factors rounded to bf16, the product too.
ValueProgram Embedding() {
  return {{Kind::kCast, DType::kBF16}, {Kind::kMultiply, DType::kBF16, 50.5F, std::sqrt(2560.0)}};
}

TEST(ValueProgram, RoundsEveryStepToItsType) {
  EXPECT_EQ(ApplyValue(PlusOne(), 0.00390625F), 1.0F);  // 1 + 2^-8 is a tie: to even
  EXPECT_EQ(ApplyValue(PlusOne(), 0.01171875F), 1.015625F);
  EXPECT_EQ(ApplyValue(Query(16), 1.00390625F), 0.25F);  // cast before the product
  EXPECT_EQ(ApplyValue(InF32(Query(16)), 1.00390625F), 0.2509765625F);
}

TEST(ValueProgram, InverseMultipliesByTheReciprocalInFloat32) {
  const ValueProgram back = Inverse(Query(128));
  ASSERT_EQ(back.size(), 2U);
  EXPECT_EQ(back[0].type, DType::kF32);
  EXPECT_EQ(back[0].operand, static_cast<float>(std::sqrt(128.0)));
  EXPECT_EQ(back[1], (ValueStep{Kind::kCast, DType::kBF16}));
}

TEST(ValueProgram, InverseOfARoundedFactorIsThatOfTheFactorThatWasUsed) {
  const ValueProgram back = Inverse(Embedding());
  ASSERT_EQ(back.size(), 2U);
  EXPECT_EQ(back[0].operand, static_cast<float>(1 / 50.5));
  EXPECT_EQ(Inverse(InF32(Embedding()))[0].operand, static_cast<float>(1 / std::sqrt(2560.0)));
}

TEST(ValueProgram, InverseSubtractsInTheTypeOfTheSum) {
  EXPECT_EQ(Inverse(PlusOne()), (ValueProgram{{Kind::kAdd, DType::kBF16, -1, -1}}));
}

TEST(ValueProgram, CancelsWithItsInverseBothWays) {
  for (const ValueProgram& program : {Query(128), PlusOne(), Embedding()}) {
    EXPECT_EQ(Then(program, Inverse(program)), ValueProgram());
    EXPECT_EQ(Then(Inverse(program), program), ValueProgram());
  }
}

TEST(ValueProgram, StoredInFloat32OnlyTheLastRoundingIsLeft) {
  const ValueProgram rounding = {{Kind::kCast, DType::kBF16}};
  EXPECT_EQ(Then(Inverse(InF32(Query(128))), Query(128)), rounding);
  EXPECT_EQ(Then(Inverse(InF32(PlusOne())), PlusOne()), rounding);
  EXPECT_EQ(Then(Inverse(InF32(Query(128))), InF32(Query(128))), ValueProgram());
}

TEST(ValueProgram, OtherProgramsFollowEachOtherWithoutIdleCasts) {
  const ValueProgram both = Then(Inverse(Query(16)), PlusOne());
  EXPECT_EQ(both, (ValueProgram{{Kind::kMultiply, DType::kF32, 4, 4},
                                {Kind::kCast, DType::kBF16},
                                {Kind::kAdd, DType::kBF16, 1, 1}}));
  EXPECT_EQ(Then({}, Query(16)), Query(16));
  EXPECT_EQ(Then(Query(16), {}), Query(16));
}

TEST(ValueProgram, InFloat32FactorsAreRoundedToItAfresh) {
  EXPECT_EQ(InF32(Embedding()),
            (ValueProgram{{Kind::kMultiply, DType::kF32, static_cast<float>(std::sqrt(2560.0)),
                           std::sqrt(2560.0)}}));
}

/// How many bf16 values between 2^-20 and 2^20 do not come back.
int CountLost(const ValueProgram& program) {
  const ValueProgram back = Inverse(program);
  int lost = 0;
  for (int bits = 107 << 7; bits < 147 << 7; ++bits) {
    const float x = ToF32(BF16{static_cast<uint16_t>(bits)});
    lost += ApplyValue(back, ApplyValue(program, x)) == x ? 0 : 1;
  }
  return lost;
}

TEST(ValueProgram, IsExactExactlyWhereAllValuesComeBack) {
  for (const double width : {4.0, 16.0, 64.0, 256.0}) {
    EXPECT_TRUE(IsExact(Query(width)));
    EXPECT_EQ(CountLost(Query(width)), 0);
  }
  for (const ValueProgram& program : {Query(128), PlusOne(), Embedding()}) {
    EXPECT_FALSE(IsExact(program));
    EXPECT_GT(CountLost(program), 0);
  }
}

TEST(ValueProgram, HeadWidth128LosesTheKnownShareOfValues) {
  // 17.2 % of bf16 mantissas do not come back, as the original's way there and back.
  EXPECT_NEAR(CountLost(Query(128)) / (40.0 * 128), 0.172, 0.001);
}

}  // namespace
}  // namespace ckpt
