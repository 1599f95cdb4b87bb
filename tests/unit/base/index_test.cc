#include "base/index.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

using Indexes = std::vector<std::vector<uint64_t>>;

Indexes Walk(const std::vector<uint64_t>& begin, const std::vector<uint64_t>& end) {
  Indexes seen;
  ForEachIndex(begin, end,
               [&](std::span<const uint64_t> at) { seen.emplace_back(at.begin(), at.end()); });
  return seen;
}

TEST(Index, StridesAreThoseOfCOrder) {
  EXPECT_EQ(RowMajor(std::vector<uint64_t>{4, 3, 2}), (std::vector<uint64_t>{6, 2, 1}));
  EXPECT_TRUE(RowMajor({}).empty());
}

TEST(Index, AnElementsIndexLeadsBackToIt) {
  const std::vector<uint64_t> extents = {4, 3, 2};
  const std::vector<uint64_t> strides = RowMajor(extents);
  for (uint64_t element = 0; element < 24; ++element) {
    const std::vector<uint64_t> index = IndexOf(element, extents);
    EXPECT_EQ(index[0] * strides[0] + index[1] * strides[1] + index[2] * strides[2], element);
  }
  EXPECT_TRUE(IndexOf(0, {}).empty());
}

TEST(Index, WalksABoxInCOrder) {
  EXPECT_EQ(Walk({1, 5}, {3, 7}), (Indexes{{1, 5}, {1, 6}, {2, 5}, {2, 6}}));
  EXPECT_EQ(Walk({}, {}), Indexes{{}});
  EXPECT_EQ(Walk({0, 2}, {4, 2}), Indexes{});
}

}  // namespace
}  // namespace ckpt
