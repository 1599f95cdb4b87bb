#include "model/expr.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ckpt {
namespace {

using testing::HasSubstr;

int64_t Value(std::string_view text, const Dims& dims = {},
              std::optional<uint64_t> layer = std::nullopt) {
  const Result<Expr> expr = Expr::Parse(text);
  EXPECT_TRUE(expr) << text;
  const Result<int64_t> value = expr->Evaluate(Scope{dims, layer});
  EXPECT_TRUE(value) << text;
  return value.value_or(-1);
}

TEST(Expr, MultiplicationBindsTighterThanAddition) {
  EXPECT_EQ(Value("2 + 3 * 4 - 1"), 13);
  EXPECT_EQ(Value("(2 + 3) * 4"), 20);
  EXPECT_EQ(Value("20 - 6 - 4"), 10);
  EXPECT_EQ(Value("7 / 2 * 2 + 7 % 2"), 7);
}

TEST(Expr, NamesAreDimensionsAndTheLayer) {
  const Dims dims = {{"h", 32}, {"k", 8}, {"d", 128}, {"L", 26}};
  EXPECT_EQ(Value("(h + 2*k) * d", dims), 6144);
  EXPECT_EQ(Value("l < L - L % 6", dims, 23), 1);
  EXPECT_EQ(Value("l < L - L % 6", dims, 24), 0);
}

TEST(Expr, EveryComparisonHoldsAsWritten) {
  EXPECT_EQ(Value("1 < 2"), 1);
  EXPECT_EQ(Value("2 > 1 + 0"), 1);
  EXPECT_EQ(Value("1 > 2"), 0);
  EXPECT_EQ(Value("2 <= 2"), 1);
  EXPECT_EQ(Value("3 >= 4"), 0);
  EXPECT_EQ(Value("3 == 1 + 2"), 1);
  EXPECT_EQ(Value("3 != 3"), 0);
  EXPECT_EQ(Value("5 + (1 < 2) * 3"), 8);
}

TEST(Expr, RefusesWhatItCannotRead) {
  for (const char* text :
       {"", "1 +", "(1", "1)", "a b", "1 < 2 < 3", "2 ** 3", "99999999999999999999", "$"}) {
    EXPECT_FALSE(Expr::Parse(text)) << text;
  }
  EXPECT_FALSE(Expr::Parse(std::string(100, '(') + "1" + std::string(100, ')')));
}

TEST(Expr, SaysWhereItStopped) {
  EXPECT_THAT(Expr::Parse("e / / h").error().what, HasSubstr("column 5"));
}

TEST(Expr, RefusesOverflowAndDivisionByZero) {
  const Dims dims = {{"big", static_cast<uint64_t>(INT64_MAX)}, {"huge", UINT64_MAX}};
  for (const char* text :
       {"big + 1", "big * 2", "0 - big - 2", "1 / 0", "1 % 0", "huge", "nobody", "l"}) {
    EXPECT_FALSE(Expr::Parse(text)->Evaluate(Scope{dims, std::nullopt})) << text;
  }
}

TEST(Expr, ExactDivisionLeavesNoRemainder) {
  const Dims dims = {{"e", 100}, {"h", 3}};
  const Result<Expr> expr = Expr::Parse("e / h");
  EXPECT_EQ(expr->Evaluate(Scope{dims, std::nullopt}).value_or(0), 33);
  const Result<int64_t> exact = expr->Evaluate(Scope{dims, std::nullopt}, Division::kExact);
  ASSERT_FALSE(exact);
  EXPECT_THAT(exact.error().what, HasSubstr("100 / 3 is not whole"));
}

}  // namespace
}  // namespace ckpt
