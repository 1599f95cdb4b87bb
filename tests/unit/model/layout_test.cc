#include "model/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ckpt {
namespace {

using testing::HasSubstr;

const Dims kDims = {{"h", 4}, {"k", 2}, {"d", 6}, {"e", 5}, {"L", 7}};

Result<View> ViewOf(std::string_view text, std::string_view selection,
                    const std::vector<Axis>& axes, std::optional<uint64_t> layer = std::nullopt) {
  const Result<Layout> layout = ParseLayout(text, selection);
  EXPECT_TRUE(layout) << text << " " << selection;
  return BuildView(*layout, axes, Scope{kDims, layer});
}

TEST(Layout, JoinedAxesRunFastestLast) {
  const Result<View> view = ViewOf("(h t p) e", "", {{"h", 4}, {"p", 2}, {"t", 3}, {"e", 5}});
  ASSERT_TRUE(view);
  EXPECT_EQ(*view, (View{Shape{24, 5}, {4, 2, 3, 5}, {30, 5, 10, 1}, 0}));
  EXPECT_TRUE(IsBijection(*view));
}

TEST(Layout, IndexTermPicksTheLayerOfAStack) {
  const Result<View> view = ViewOf("e [l] h d", "", {{"h", 4}, {"d", 6}, {"e", 5}}, 3);
  ASSERT_TRUE(view);
  EXPECT_EQ(*view, (View{Shape{5, 7, 4, 6}, {4, 6, 5}, {6, 1, 168}, 72}));
}

TEST(Layout, IndexTermTakesAnExpressionAndItsExtent) {
  const Result<View> view = ViewOf("[l / 2 of 4] e", "", {{"e", 5}}, 5);
  ASSERT_TRUE(view);
  EXPECT_EQ(*view, (View{Shape{4, 5}, {5}, {1}, 10}));
}

TEST(Layout, IntervalOfAFusedTensorIsAnOffset) {
  const Result<View> view =
      ViewOf("(k d) e", "h*d : (h + k)*d of (h + 2*k)*d", {{"k", 2}, {"d", 6}, {"e", 5}});
  ASSERT_TRUE(view);
  EXPECT_EQ(*view, (View{Shape{48, 5}, {2, 6, 5}, {30, 5, 1}, 120}));
  EXPECT_TRUE(IsInjective(*view));
  EXPECT_FALSE(IsBijection(*view));
}

TEST(Layout, IndexOnTheNameTakesAnAxisThatTheLayoutLacks) {
  const Result<View> view = ViewOf("k e d", ":, 1 of 2", {{"k", 2}, {"d", 6}, {"e", 5}});
  ASSERT_TRUE(view);
  EXPECT_EQ(*view, (View{Shape{2, 2, 5, 6}, {2, 6, 5}, {60, 1, 6}, 30}));
}

TEST(Layout, ScalarHasNoTerms) {
  const Result<View> view = ViewOf("", "", {});
  ASSERT_TRUE(view);
  EXPECT_EQ(*view, View{});
}

TEST(Layout, RefusesSyntaxThatMeansNothing) {
  for (const char* text : {"(h d", "h) e", "h d h", "(h h)", "()", "[]", "[1]", "[0 : 2 of 4] e",
                           "H", "h-d", "e [l"}) {
    EXPECT_FALSE(ParseLayout(text)) << text;
  }
}

TEST(Layout, RefusesSelectionsThatMeanNothing) {
  for (const char* selection : {"0 : 2", "0 : 2 of", "1", ": , : , 0 : 5 of 5", "x y of 2"}) {
    EXPECT_FALSE(ParseLayout("h e", selection)) << selection;
  }
}

TEST(Layout, RefusesAnIntervalThatItsAxesDoNotFill) {
  const Result<View> view = ViewOf("(h d) e", "0 : 23 of 48", {{"h", 4}, {"d", 6}, {"e", 5}});
  ASSERT_FALSE(view);
  EXPECT_THAT(view.error().what, HasSubstr("24"));
}

TEST(Layout, RefusesASelectionBeyondTheAxis) {
  EXPECT_FALSE(ViewOf("e", "2 of 2", {{"e", 5}}));
  EXPECT_FALSE(ViewOf("e", "1 : 6 of 5", {{"e", 5}}));
}

TEST(Layout, RefusesTensorsOfMoreThan64Bits) {
  EXPECT_FALSE(ViewOf("h e", "", {{"h", uint64_t{1} << 40}, {"e", uint64_t{1} << 40}}));
}

}  // namespace
}  // namespace ckpt
