#include <algorithm>
#include <array>

#include "kernel/compressed.h"
#include "kernel/reference.h"
#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {
namespace {

class PackCodes4And8 : public KernelTest {};
CKPT_FOR_EACH_TARGET(PackCodes4And8);

std::vector<uint8_t> AsCodes(std::initializer_list<int> values) {
  std::vector<uint8_t> codes;
  for (const int value : values) codes.push_back(static_cast<uint8_t>(value));
  return codes;
}
std::vector<uint8_t> Packed(const std::vector<uint8_t>& codes, int bits) {
  std::vector<uint8_t> packed(PackedBytes(codes.size(), bits), 0xee);
  PackCodes(codes.data(), codes.size(), bits, packed.data());
  return packed;
}

TEST(PackedBytes, AreWholeWords) {
  EXPECT_EQ(PackedBytes(0, 4), 0U);
  EXPECT_EQ(PackedBytes(1, 4), 4U);
  EXPECT_EQ(PackedBytes(8, 4), 4U);
  EXPECT_EQ(PackedBytes(9, 4), 8U);
  EXPECT_EQ(PackedBytes(4, 8), 4U);
  EXPECT_EQ(PackedBytes(250, 8), 252U);
}

TEST_P(PackCodes4And8, NibblesLieLowestFirstAndTheRestOfAWordIsZero) {
  const auto codes = AsCodes({-8, 7, 0, -1, 1, 2, 3, 4, 5});
  const std::vector<uint8_t> expected = {0xf0, 0x78, 0xa9, 0xcb, 0x0d, 0, 0, 0};
  EXPECT_EQ(Packed(codes, 4), expected);
}

TEST_P(PackCodes4And8, BytesAreBiasedAndTheRestOfAWordIsZero) {
  const auto codes = AsCodes({-128, 127, 0, -1, 1});
  const std::vector<uint8_t> expected = {0x00, 0xff, 0x80, 0x7f, 0x81, 0, 0, 0};
  EXPECT_EQ(Packed(codes, 8), expected);
}

TEST_P(PackCodes4And8, AnyLengthAndAlignment) {
  std::mt19937 random(1);
  for (const int bits : {8, 4}) {
    for (size_t n = 0; n <= 280; ++n) {
      Guarded codes = RandomBytes(n, random, n % 7);
      auto* from = reinterpret_cast<uint8_t*>(codes.data());
      for (size_t i = 0; bits == 4 && i < n; ++i)
        from[i] = static_cast<uint8_t>(static_cast<int>(from[i] % 16) - 8);
      Guarded packed(PackedBytes(n, bits), n % 5);
      Guarded expected(PackedBytes(n, bits));
      PackCodes(from, n, bits, reinterpret_cast<uint8_t*>(packed.data()));
      reference::PackCodes(from, n, bits, reinterpret_cast<uint8_t*>(expected.data()));
      EXPECT_TRUE(packed == expected && packed.IsIntact()) << bits << " bits, " << n;

      // In place, with room for the last word.
      std::vector<uint8_t> place(n + 4);
      std::copy(from, from + n, place.begin());
      PackCodes(place.data(), n, bits, place.data());
      EXPECT_EQ(std::memcmp(place.data(), expected.data(), expected.size()), 0) << n;
    }
  }
}

TEST(PackZeroPoints, RunsDownTheRows) {
  // Two columns, nine rows: words of eight rows, then of one.
  const std::array<int8_t, 18> zeros = {-8, 7, -7, 6, -6, 5,  -5, 4,  -4,
                                        3,  0, 0,  1, 2,  -1, 7,  -8, -8};
  const std::vector<uint8_t> expected = {0x10, 0x32, 0x84, 0x79,  // -8 -7 -6 -5 -4 0 1 -1
                                         0xef, 0xcd, 0x8b, 0xfa,  // 7 6 5 4 3 0 2 7
                                         0x00, 0,    0,    0,    0x00, 0, 0, 0};
  std::vector<uint8_t> packed(16, 0xee);
  PackZeroPoints(zeros.data(), 9, 2, 4, packed.data());
  EXPECT_EQ(packed, expected);
}

TEST(PackZeroPoints, OfEightBitsHoldFourRows) {
  const std::array<int8_t, 5> zeros = {-128, 127, 0, -1, 5};
  const std::vector<uint8_t> expected = {0x00, 0xff, 0x80, 0x7f, 0x85, 0, 0, 0};
  std::vector<uint8_t> packed(8, 0xee);
  PackZeroPoints(zeros.data(), 5, 1, 8, packed.data());
  EXPECT_EQ(packed, expected);
}

TEST(PackZeroPoints, OfPiecesAreTheSame) {
  std::mt19937 random(2);
  constexpr size_t rows = 21;
  constexpr size_t groups = 5;
  std::array<int8_t, rows * groups> zeros{};
  for (int8_t& zero : zeros) zero = static_cast<int8_t>(static_cast<int>(random() % 16) - 8);
  std::vector<uint8_t> whole(PackedBytes(rows, 4) * groups);
  std::vector<uint8_t> pieces(whole.size());
  PackZeroPoints(zeros.data(), rows, groups, 4, whole.data());
  PackZeroPoints(zeros.data(), 16, groups, 4, pieces.data());
  PackZeroPoints(zeros.data() + 16 * groups, rows - 16, groups, 4,
                 pieces.data() + PackedBytes(16, 4) * groups);
  EXPECT_EQ(pieces, whole);
}

}  // namespace
}  // namespace ckpt
