#include "plan/box_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "source/box_runs.h"

namespace ckpt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Experts' second matrix: rows (x f) of e elements become [x, e, f].
constexpr uint64_t kExperts = 3;
constexpr uint64_t kWidth = 8;  // e
constexpr uint64_t kMlp = 5;    // f

BoundRole Stacked() {
  BoundRole bound;
  bound.instance.axes = {{"x", kExperts}, {"f", kMlp}, {"e", kWidth}};
  bound.view = {
      Shape{kExperts * kMlp, kWidth}, {kExperts, kMlp, kWidth}, {kMlp * kWidth, kWidth, 1}, 0};
  return bound;
}

ArraySpec Transposed() {
  ArraySpec spec;
  spec.name = "w2";
  spec.shape = Shape{kExperts, kWidth, kMlp};
  spec.view = {spec.shape, {kExperts, kMlp, kWidth}, {kWidth * kMlp, 1, kMlp}, 0};
  return spec;
}

Plan PlanOf(BoundRole bound, const ArraySpec& spec) {
  Plan plan;
  const size_t tensors = std::max<size_t>(1, bound.parts.size());
  for (size_t i = 0; i < tensors; ++i) {
    const uint64_t bytes = bound.view.tensor.Elements().value() * 2;
    plan.catalog.tensors.push_back(ContiguousEntry("t" + std::to_string(i), DType::kBF16,
                                                   bound.view.tensor, static_cast<uint32_t>(i),
                                                   {0, bytes}));
  }
  ArrayPlan array;
  array.row_dtype = DType::kBF16;
  const auto mapped = MapBoxRows(spec, bound, plan.catalog.tensors[0], array);
  EXPECT_TRUE(mapped) << mapped.error().what;
  array.row_bytes = array.rows.row_elements * 2;
  plan.arrays.push_back(std::move(array));
  plan.model.roles.push_back(std::move(bound));
  plan.output.arrays.push_back(spec);
  return plan;
}

// All tiles of the array; each begins where the one before ended.
std::vector<BoxTile> Tiles(const Plan& plan, uint64_t most_bytes, uint64_t most_output = 1 << 20) {
  std::vector<BoxTile> tiles;
  const uint64_t rows = plan.arrays[0].rows.n_rows;
  for (uint64_t row = 0; row < rows;) {
    tiles.push_back(BoxTileAt(plan, 0, row, rows, most_bytes, most_output));
    EXPECT_EQ(tiles.back().rows.row_begin, row);
    EXPECT_GT(tiles.back().rows.row_end, row);
    row = tiles.back().rows.row_end;
  }
  EXPECT_EQ(tiles.back().rows.row_end, rows);
  return tiles;
}

TEST(BoxRows, ATransposedMatrixIsReadByBandsOfColumns) {
  const Plan plan = PlanOf(Stacked(), Transposed());
  EXPECT_EQ(plan.arrays[0].rows.n_rows, kExperts * kWidth);
  EXPECT_EQ(plan.arrays[0].rows.row_elements, kMlp);
  EXPECT_EQ(BoxRowBytes(plan, 0), kMlp * 2);
  // Room for three columns: 3, 3 and 2 of each expert's eight.
  const std::vector<BoxTile> tiles = Tiles(plan, 3 * kMlp * 2);
  ASSERT_EQ(tiles.size(), 3 * kExperts);
  EXPECT_THAT(tiles[4].box.begin, ElementsAre(kMlp, 3));
  EXPECT_THAT(tiles[4].box.end, ElementsAre(2 * kMlp, 6));
  EXPECT_EQ(tiles[5].rows.row_end - tiles[5].rows.row_begin, 2U);
  for (const BoxTile& tile : tiles) EXPECT_LE(BoxBytes(DType::kBF16, tile.box), 3 * kMlp * 2);
}

TEST(BoxRows, TakesWholeExpertsWhereTheyFit) {
  const Plan plan = PlanOf(Stacked(), Transposed());
  EXPECT_EQ(Tiles(plan, 1 << 20).size(), 1U);
  EXPECT_EQ(Tiles(plan, kWidth * kMlp * 2).size(), kExperts);
  // The output's buffer bounds a tile as well; and one row there always is.
  EXPECT_EQ(Tiles(plan, 1 << 20, 2 * kMlp * 2).size(), kExperts * kWidth / 2);
  EXPECT_EQ(Tiles(plan, 1, 1).size(), kExperts * kWidth);
}

TEST(BoxRows, ATileIsOfOneExpertWhereEachHasItsTensor) {
  BoundRole bound = Stacked();
  bound.view = {Shape{kMlp, kWidth}, {1, kMlp, kWidth}, {0, kWidth, 1}, 0};
  bound.parts_axis = 0;
  bound.parts = {0, 1, 2};
  const Plan plan = PlanOf(bound, Transposed());
  const std::vector<BoxTile> tiles = Tiles(plan, 1 << 20);
  ASSERT_EQ(tiles.size(), kExperts);
  for (size_t expert = 0; expert < kExperts; ++expert) {
    EXPECT_EQ(tiles[expert].tensor, expert);
    EXPECT_THAT(tiles[expert].box.end, ElementsAre(kMlp, kWidth));
  }
  const SourcePlaceOfElement place = FindSourceElement(plan, 0, kWidth + 6, 4);
  EXPECT_EQ(place.tensor, 1U);
  EXPECT_THAT(place.index, ElementsAre(4, 6));
}

TEST(BoxRows, NamesTheSourcesOwnIndex) {
  const Plan plan = PlanOf(Stacked(), Transposed());
  const SourcePlaceOfElement place = FindSourceElement(plan, 0, 2 * kWidth + 7, 3);
  EXPECT_THAT(place.index, ElementsAre(2 * kMlp + 3, 7));
}

TEST(BoxRows, RefusesWhatCannotBeMovedByElements) {
  const BoundRole bound = Stacked();
  ArrayPlan array;
  const auto refused = [&](const ArraySpec& spec, DType dtype) {
    const TensorEntry tensor = ContiguousEntry("t", dtype, bound.view.tensor, 0, {0, 4096});
    const auto mapped = MapBoxRows(spec, bound, tensor, array);
    return mapped ? std::string() : mapped.error().what;
  };
  EXPECT_THAT(refused(Transposed(), DType::kQ8_0), HasSubstr("packs elements in blocks"));
  ArraySpec longer = Transposed();
  longer.view.extents[2] = kWidth + 1;
  EXPECT_THAT(refused(longer, DType::kBF16), HasSubstr("another length"));
}

}  // namespace
}  // namespace ckpt
