#include "run/box_grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/index.h"

namespace ckpt {
namespace {

uint64_t ElementsOf(const RoleBox& box) {
  uint64_t elements = 1;
  for (size_t k = 0; k < box.begin.size(); ++k) elements *= box.end[k] - box.begin[k];
  return elements;
}

BoxWishes Wishes(size_t rank, uint64_t most_elements) {
  BoxWishes wishes;
  wishes.grain.assign(rank, 1);
  wishes.fits = [=](const RoleBox& box) { return ElementsOf(box) <= most_elements; };
  wishes.cost = ElementsOf;
  return wishes;
}

TEST(BoxGrid, CoversTheRegionOnceWhateverFits) {
  const RoleBox region{{2, 0, 5}, {9, 3, 16}};
  for (const uint64_t most : {1U, 2U, 7U, 20U, 100U, 1000U}) {
    const BoxGrid grid = CutRegion(region, Wishes(3, most));
    std::map<std::vector<uint64_t>, int> seen;
    for (uint64_t i = 0; i < grid.Count(); ++i) {
      const RoleBox box = grid.At(i);
      EXPECT_LE(ElementsOf(box), most);
      ForEachIndex(box.begin, box.end, [&](std::span<const uint64_t> at) {
        ++seen[std::vector<uint64_t>(at.begin(), at.end())];
      });
    }
    EXPECT_EQ(seen.size(), ElementsOf(region));
    EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](const auto& s) { return s.second == 1; }));
  }
}

TEST(BoxGrid, AScalarIsOneBoxAndAnEmptyRegionNone) {
  EXPECT_EQ(CutRegion({{}, {}}, Wishes(0, 1)).Count(), 1U);
  EXPECT_EQ(CutRegion({{0, 4}, {3, 4}}, Wishes(2, 1)).Count(), 0U);
}

TEST(BoxGrid, CutsWhereReadingStaysCheap) {
  // A table in columns: cutting rows reads every column whole.
  BoxWishes wishes = Wishes(2, 64);
  wishes.cost = [](const RoleBox& box) { return (box.end[1] - box.begin[1]) * 1000; };
  const BoxGrid columns = CutRegion({{0, 0}, {16, 16}}, wishes);
  EXPECT_EQ(columns.step, (std::vector<uint64_t>{16, 4}));
  EXPECT_EQ(CutRegion({{0, 0}, {16, 16}}, Wishes(2, 64)).step, (std::vector<uint64_t>{4, 16}));
}

TEST(BoxGrid, KeepsToWholeChunksAndToOneTensorAtATime) {
  BoxWishes wishes = Wishes(2, 700);
  wishes.grain = {48, 1};
  wishes.cost = [](const RoleBox& box) { return (box.end[0] - box.begin[0]) * 10; };
  EXPECT_EQ(CutRegion({{0, 0}, {1000, 10}}, wishes).step[0] % 48, 0U);
  wishes.most = {UINT64_MAX, 1};
  EXPECT_EQ(CutRegion({{0, 0}, {96, 10}}, wishes).step, (std::vector<uint64_t>{96, 1}));
}

}  // namespace
}  // namespace ckpt
