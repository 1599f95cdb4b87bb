#include "base/shape.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

TEST(Shape, CountsElementsUnlessTheyOverflow) {
  EXPECT_EQ((Shape{4096, 128}).Elements(), 524288U);
  EXPECT_EQ(Shape{}.Elements(), 1U);
  EXPECT_EQ((Shape{0, 5}).Elements(), 0U);
  EXPECT_EQ((Shape{1ULL << 33U, 1ULL << 31U}).Elements(), std::nullopt);
}

TEST(Shape, PrintsAsAList) {
  EXPECT_EQ(ToString(Shape{4096, 128}), "[4096, 128]");
  EXPECT_EQ(ToString(Shape{}), "[]");
}

}  // namespace
}  // namespace ckpt
