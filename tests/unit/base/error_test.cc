#include "base/error.h"

#include <gtest/gtest.h>

#include "base/result.h"

namespace ckpt {
namespace {

TEST(Error, PrintsWhatWhereAndRemedyInLines) {
  const Error error{Code::kBadInput,
                    "truncated",
                    {"a detail"},
                    {{"tensor", "w"}, {"file", "/m/x"}},
                    "fetch it again"};
  EXPECT_EQ(
      error.Print(),
      "ckpt: source damaged or unsupported: truncated\n    a detail\n  tensor  w\n  file    /m/x\n"
      "  remedy  fetch it again  (exit 65)");
}

Result<int> Inner() { return Fail(Code::kIo, "no"); }
Result<int> Outer() {
  CKPT_TRY(const int value, Inner().map_error(Where("tensor", "w")));
  return value + 1;
}

TEST(Result, CarriesTheErrorOutwardWithItsPlaces) {
  const auto result = Outer().map_error(Where("file", "x"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().where, (std::vector<Place>{{"tensor", "w"}, {"file", "x"}}));
  EXPECT_EQ(ExitStatus(result.error().code), 74);
}

TEST(Result, StopsAtTheFirstFailureOfAStep) {
  int steps = 0;
  const auto run = [&]() -> Result<void> {
    ++steps;
    CKPT_TRY_VOID(Inner());
    ++steps;
    return {};
  };
  EXPECT_FALSE(run());
  EXPECT_EQ(steps, 1);
}

}  // namespace
}  // namespace ckpt
