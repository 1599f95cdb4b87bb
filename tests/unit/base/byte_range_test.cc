#include "base/byte_range.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

TEST(ByteRange, OfLengthRefusesAnEndBeyond64Bits) {
  EXPECT_EQ(*ByteRange::OfLength(5, 7), (ByteRange{5, 12}));
  EXPECT_EQ(ByteRange::OfLength(UINT64_MAX, 0)->size(), 0U);
  EXPECT_EQ(ByteRange::OfLength(UINT64_MAX, 1).error().code, Code::kBadInput);
}

TEST(ByteRange, ContainsItselfAndItsParts) {
  const ByteRange range{10, 20};
  EXPECT_TRUE(range.Contains({10, 20}));
  EXPECT_TRUE(range.Contains({20, 20}));
  EXPECT_FALSE(range.Contains({9, 20}));
  EXPECT_FALSE(range.Contains({10, 21}));
}

TEST(ByteRange, AlignsOutwardToWholeBlocks) {
  EXPECT_EQ(AlignOutward({4095, 4097}, 4096), (ByteRange{0, 8192}));
  EXPECT_EQ(AlignOutward({4096, 8192}, 4096), (ByteRange{4096, 8192}));
  EXPECT_EQ(AlignOutward({100, 100}, 4096), (ByteRange{0, 4096}));
}

TEST(ByteRange, PrintsHalfOpen) { EXPECT_EQ(ToString(ByteRange{0, 512}), "[0, 512)"); }

}  // namespace
}  // namespace ckpt
