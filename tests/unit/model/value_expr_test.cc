#include "model/value_expr.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace ckpt {
namespace {

using Kind = ValueStep::Kind;
using testing::ElementsAre;
using testing::HasSubstr;

const Dims kDims = {{"d", 128}, {"e", 2560}, {"zero", 0}};

ValueProgram ProgramOf(std::string_view text) {
  const Result<ValueExpr> expr = ValueExpr::Parse(text);
  EXPECT_TRUE(expr) << expr.error().Print();
  if (!expr) return {};
  const Result<ValueProgram> program = expr->Evaluate(Scope{kDims, std::nullopt});
  EXPECT_TRUE(program) << program.error().Print();
  return program.value_or(ValueProgram());
}

std::string FaultOf(std::string_view text) {
  const Result<ValueExpr> expr = ValueExpr::Parse(text);
  if (!expr) return expr.error().what;
  const Result<ValueProgram> program = expr->Evaluate(Scope{kDims, std::nullopt});
  return program ? "" : program.error().what;
}

TEST(ValueExpr, CastsScaleAndRoundInTheOrderWritten) {
  const double factor = 1 / std::sqrt(128.0);
  EXPECT_EQ(ProgramOf("bf16(f32(bf16(x)) * f32(1 / sqrt(d)))"),
            (ValueProgram{{Kind::kCast, DType::kBF16},
                          {Kind::kMultiply, DType::kF32, static_cast<float>(factor), factor},
                          {Kind::kCast, DType::kBF16}}));
}

TEST(ValueExpr, TwoBf16FactorsGiveABf16Product) {
  EXPECT_EQ(ProgramOf("bf16(x) * bf16(sqrt(e))"),
            (ValueProgram{{Kind::kCast, DType::kBF16},
                          {Kind::kMultiply, DType::kBF16, 50.5F, std::sqrt(2560.0)}}));
}

TEST(ValueExpr, AConstantWithoutACastTakesTheTypeOfTheValue) {
  EXPECT_EQ(ProgramOf("bf16(x) * sqrt(e)"), ProgramOf("bf16(x) * bf16(sqrt(e))"));
  EXPECT_EQ(ProgramOf("bf16(x) + 1"),
            (ValueProgram{{Kind::kCast, DType::kBF16}, {Kind::kAdd, DType::kBF16, 1, 1}}));
}

TEST(ValueExpr, AWiderConstantWidensTheResult) {
  EXPECT_EQ(ProgramOf("bf16(x) * f32(0.1)")[1],
            (ValueStep{Kind::kMultiply, DType::kF32, 0.1F, 0.1}));
}

TEST(ValueExpr, SubtractionAddsTheNegativeNumber) {
  EXPECT_EQ(ProgramOf("bf16(x) - 1"),
            (ValueProgram{{Kind::kCast, DType::kBF16}, {Kind::kAdd, DType::kBF16, -1, -1}}));
}

TEST(ValueExpr, ConstantsMayStandOnTheLeft) {
  EXPECT_EQ(ProgramOf("1 + bf16(x)"), ProgramOf("bf16(x) + 1"));
  EXPECT_EQ(ProgramOf("(d - 100) / 4 * bf16(x)"), ProgramOf("bf16(x) * 7"));
}

TEST(ValueExpr, InnerRoundingsOfConstantsCount) {
  const ValueProgram program = ProgramOf("f32(x) * f32(1 / bf16(sqrt(e)))");
  EXPECT_EQ(program[1].operand, static_cast<float>(1 / 50.5));
  EXPECT_EQ(program[1].exact, 1 / std::sqrt(2560.0));
}

TEST(ValueExpr, NamesAreDimensionsOnly) {
  const Result<ValueExpr> expr = ValueExpr::Parse("bf16(f32(bf16(x)) * f32(e / sqrt(d)))");
  ASSERT_TRUE(expr);
  EXPECT_THAT(expr->Names(), ElementsAre("e", "d"));
}

TEST(ValueExpr, FaultsTellTheColumn) {
  EXPECT_THAT(FaultOf("bf16(x"), HasSubstr("column 7: ) is expected"));
  EXPECT_THAT(FaultOf("bf16(x) ? 2"), HasSubstr("column 9: an operator or the end"));
  EXPECT_THAT(FaultOf("bf16"), HasSubstr("( is expected after bf16"));
  EXPECT_THAT(FaultOf(""), HasSubstr("column 1: a number, a name or ("));
}

TEST(ValueExpr, RefusesWhatHasNoProgram) {
  EXPECT_THAT(FaultOf("sqrt(e)"), HasSubstr("does not stand in it"));
  EXPECT_THAT(FaultOf("bf16(x) * bf16(x)"), HasSubstr("twice"));
  EXPECT_THAT(FaultOf("x * 2"), HasSubstr("before a cast"));
  EXPECT_THAT(FaultOf("bf16(x) / 2"), HasSubstr("multiply it by 1 / constant"));
  EXPECT_THAT(FaultOf("2 / bf16(x)"), HasSubstr("a divisor"));
  EXPECT_THAT(FaultOf("1 - bf16(x)"), HasSubstr("subtracted"));
  EXPECT_THAT(FaultOf("sqrt(bf16(x))"), HasSubstr("no square root"));
  EXPECT_THAT(FaultOf(std::string(40, '(') + "x"), HasSubstr("nested too deep"));
}

TEST(ValueExpr, RefusesFactorsThatNoInverseUndoes) {
  EXPECT_THAT(FaultOf("bf16(x) * zero"), HasSubstr("a constant is 0"));
  EXPECT_THAT(FaultOf("bf16(x) * (1 / zero)"), HasSubstr("a constant is inf"));
  EXPECT_THAT(FaultOf("bf16(x) + sqrt(1 - e)"), HasSubstr("nan"));
  EXPECT_THAT(FaultOf("bf16(x) * n"), HasSubstr("n has no value here"));
}

}  // namespace
}  // namespace ckpt
