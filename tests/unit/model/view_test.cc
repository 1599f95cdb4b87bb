#include "model/view.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "model/layout.h"

namespace ckpt {
namespace {

/// The oracle: every role element's tensor element, straight from the definition, in canonical
/// order.
std::vector<uint64_t> Elements(const View& view) {
  std::vector<uint64_t> elements = {view.offset};
  for (size_t k = 0; k < view.extents.size(); ++k) {
    std::vector<uint64_t> next;
    for (const uint64_t base : elements) {
      for (uint64_t i = 0; i < view.extents[k]; ++i) next.push_back(base + i * view.strides[k]);
    }
    elements = std::move(next);
  }
  return elements;
}

/// (element of a, element of b) by the mapping's definition.
std::set<std::pair<uint64_t, uint64_t>> Pairs(const Mapping& mapping) {
  std::vector<std::pair<uint64_t, uint64_t>> pairs = {{mapping.offset_a, mapping.offset_b}};
  for (const Mapping::Axis& axis : mapping.axes) {
    std::vector<std::pair<uint64_t, uint64_t>> next;
    for (const auto& [a, b] : pairs) {
      for (uint64_t i = 0; i < axis.extent; ++i) {
        next.emplace_back(a + i * axis.stride_a, b + i * axis.stride_b);
      }
    }
    pairs = std::move(next);
  }
  EXPECT_EQ(std::set(pairs.begin(), pairs.end()).size(), pairs.size());
  return {pairs.begin(), pairs.end()};
}

std::set<std::pair<uint64_t, uint64_t>> OraclePairs(const View& a, const View& b) {
  const std::vector<uint64_t> from = Elements(a);
  const std::vector<uint64_t> to = Elements(b);
  std::set<std::pair<uint64_t, uint64_t>> pairs;
  for (size_t i = 0; i < from.size(); ++i) pairs.emplace(from[i], to[i]);
  return pairs;
}

/// A random role and a random layout of it: axes in any order, joined at random, perhaps within a
/// larger tensor.
struct RandomViews {
  std::mt19937_64 random{7};
  std::vector<Axis> axes;

  void DrawAxes() {
    axes.clear();
    const size_t rank = random() % 5;
    for (size_t i = 0; i < rank; ++i)
      axes.push_back({std::string(1, "abcde"[i]), 1 + random() % 4});
  }
  View Draw() {
    std::vector<Axis> order = axes;
    std::shuffle(order.begin(), order.end(), random);
    std::string text;
    bool is_open = false;
    for (size_t i = 0; i < order.size(); ++i) {
      if (!is_open && random() % 3 == 0) {
        text += "(";
        is_open = true;
      }
      text += order[i].name;
      if (is_open && (random() % 2 == 0 || i + 1 == order.size())) {
        text += ")";
        is_open = false;
      }
      text += " ";
      if (!is_open && random() % 4 == 0) text += fmt::format("[{} of 3] ", random() % 3);
    }
    const Dims dims;
    const Result<Layout> layout = ParseLayout(text);
    EXPECT_TRUE(layout) << text;
    const Result<View> view = BuildView(*layout, axes, Scope{dims, std::nullopt});
    EXPECT_TRUE(view) << text;
    return view.value_or(View{});
  }
};

TEST(View, LayoutsAreInjectiveAndBijectiveAsBruteForceSays) {
  RandomViews draws;
  for (int round = 0; round < 300; ++round) {
    draws.DrawAxes();
    const View view = draws.Draw();
    const std::vector<uint64_t> elements = Elements(view);
    const std::set<uint64_t> distinct(elements.begin(), elements.end());
    ASSERT_EQ(distinct.size(), elements.size());
    ASSERT_LT(*distinct.rbegin(), *view.tensor.Elements());
    EXPECT_TRUE(IsInjective(view));
    EXPECT_EQ(IsBijection(view), distinct.size() == *view.tensor.Elements());
  }
}

TEST(View, ComposedMappingPairsTheSameElementsAsBruteForce) {
  RandomViews draws;
  for (int round = 0; round < 300; ++round) {
    draws.DrawAxes();
    const View a = draws.Draw();
    const View b = draws.Draw();
    const Mapping mapping = Compose(a, b);
    EXPECT_EQ(Pairs(mapping), OraclePairs(a, b));
    EXPECT_TRUE(
        std::is_sorted(mapping.axes.begin(), mapping.axes.end(),
                       [](const auto& x, const auto& y) { return x.stride_b > y.stride_b; }));
    EXPECT_EQ(Invert(mapping), Compose(b, a));
  }
}

TEST(View, DataSurvivesTheRoundTripThroughAnotherLayout) {
  RandomViews draws;
  for (int round = 0; round < 100; ++round) {
    draws.DrawAxes();
    const View a = draws.Draw();
    const View b = draws.Draw();
    std::vector<uint64_t> original(*a.tensor.Elements());
    for (uint64_t& x : original) x = draws.random();
    std::vector<uint64_t> converted(*b.tensor.Elements());
    for (const auto& [from, to] : Pairs(Compose(a, b))) converted[to] = original[from];
    std::vector<uint64_t> returned(original.size());
    for (const auto& [from, to] : Pairs(Compose(b, a))) returned[to] = converted[from];
    for (const uint64_t element : Elements(a)) EXPECT_EQ(returned[element], original[element]);
  }
}

TEST(View, CutIsTheSameElementsFromAnotherBeginning) {
  const View view{Shape{6, 4}, {2, 3, 4}, {4, 8, 1}, 0};
  const View cut = Cut(view, 1, 1, 3);
  EXPECT_EQ(cut, (View{Shape{6, 4}, {2, 2, 4}, {4, 8, 1}, 8}));
  EXPECT_TRUE(IsInjective(cut));
  EXPECT_FALSE(IsBijection(cut));
  EXPECT_EQ(Elements(Cut(view, 0, 1, 1)).size(), 0U);
}

TEST(View, EqualLayoutsAreOneRun) {
  const View view{Shape{6, 4}, {2, 3, 4}, {12, 4, 1}, 0};
  EXPECT_EQ(Compose(view, view), (Mapping{0, 0, {{24, 1, 1}}}));
}

TEST(View, RotaryHalvesToPairsHasThreeAxes) {
  const View halves{Shape{12, 5}, {2, 2, 3, 5}, {30, 15, 5, 1}, 0};
  const View pairs{Shape{12, 5}, {2, 2, 3, 5}, {30, 5, 10, 1}, 0};
  EXPECT_EQ(Compose(halves, pairs),
            (Mapping{0, 0, {{2, 30, 30}, {3, 5, 10}, {2, 15, 5}, {5, 1, 1}}}));
}

TEST(View, RefusesOverlapAndElementsOutside) {
  EXPECT_FALSE(IsInjective({Shape{4}, {2, 2}, {1, 1}, 0}));  // both axes on the same elements
  EXPECT_FALSE(IsInjective({Shape{4}, {2, 2}, {2, 1}, 1}));  // one beyond the end
  EXPECT_FALSE(IsInjective({Shape{4}, {2, 2}, {0, 1}, 0}));  // an axis that goes nowhere
  EXPECT_FALSE(IsInjective({Shape{4}, {2, 2}, {1}, 0}));     // not a view
  EXPECT_FALSE(IsInjective({Shape{4}, {3}, {UINT64_MAX / 2}, 9}));  // wraps
  EXPECT_TRUE(IsInjective({Shape{4}, {1, 4}, {0, 1}, 0}));
}

}  // namespace
}  // namespace ckpt
