#include "kernel/compressed.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernel/quantize.h"
#include "kernel/reference.h"
#include "tests/unit/kernel/compressed_forms.h"
#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {
namespace {

class Compressed : public KernelTest {};
CKPT_FOR_EACH_TARGET(Compressed);

constexpr size_t kLongest = 140;  // over twice the widest vector, by one and more

GroupRange RangeOf(float least, float most) {
  return {ToBF16(std::abs(least)).bits, ToBF16(most).bits};
}
GroupScale Scaled(float scale, int zero = 0) { return {ToBF16(scale), static_cast<int8_t>(zero)}; }
std::vector<BF16> Row(std::initializer_list<float> values) {
  std::vector<BF16> row;
  row.reserve(values.size());
  for (const float value : values) row.push_back(ToBF16(value));
  return row;
}
std::vector<int> Codes(const std::vector<BF16>& w, GroupScale scale, CodeForm form) {
  std::vector<uint8_t> codes(w.size());
  QuantizeRowBF16(w.data(), w.size(), scale, form, codes.data());
  std::vector<int> result;
  result.reserve(codes.size());
  for (const uint8_t code : codes)
    result.push_back(form.is_float ? code : static_cast<int8_t>(code));
  return result;
}
// ---- scales

TEST(CompressedScale, DividesTheLargestByHalfTheRange) {
  EXPECT_EQ(ScaleOf(RangeOf(-127.5, 3), kInt8), Scaled(1));
  EXPECT_EQ(ScaleOf(RangeOf(-3, 7.5), kInt4), Scaled(1));
  EXPECT_EQ(ScaleOf(RangeOf(-448, 448), kFp8), Scaled(1));
  // A division by 127.5 differs from a product with 1 / 127.5 in the last bit of some.
  for (uint16_t bits = 0x3f80; bits < 0x4000; ++bits)
    EXPECT_EQ(ScaleOf({0, bits}, kInt8).scale, ToBF16(ToF32(BF16{bits}) / 127.5F)) << bits;
}

TEST(CompressedScale, OfZerosIsTheStepAtOne) {
  for (const CodeForm form : AllForms()) EXPECT_EQ(ScaleOf({}, form), Scaled(0.0078125F));
}

TEST(CompressedScale, StaysSubnormalButForZero) {
  // In units of the smallest subnormal: 60 / 7.5, 4 / 7.5 = 0.53, 3 / 7.5 = 0.4.
  EXPECT_EQ(ScaleOf({0, 0x003c}, kInt4).scale.bits, 0x0008);
  EXPECT_EQ(ScaleOf({0x0004, 0}, kInt4).scale.bits, 0x0001);
  EXPECT_EQ(ScaleOf({0x0003, 0}, kInt4), Scaled(0.0078125F));
  // 224 / 448 and 672 / 448 are ties.
  EXPECT_EQ(ScaleOf({0, 0x00e0}, kFp8), Scaled(0.0078125F));
  EXPECT_EQ(ScaleOf({0, 0x01a8}, kFp8).scale.bits, 0x0002);
}

TEST(CompressedScale, OfTheLargestValuesIsFiniteWhereSymmetric) {
  for (const CodeForm form : {kInt8, kInt4, kFp8})
    EXPECT_TRUE(ScaleOf({0x7f7f, 0x7f7f}, form).IsFinite());
}

TEST(CompressedScale, ShowsAnAsymmetricSpanAboveTheRange) {
  for (const CodeForm form : {kInt8Asymmetric, kInt4Asymmetric}) {
    EXPECT_TRUE(ScaleOf({0x7f7f, 0}, form).IsFinite());
    EXPECT_TRUE(ScaleOf({0, 0x7f7f}, form).IsFinite());
    EXPECT_TRUE(ScaleOf(RangeOf(-1.6e38F, 1.6e38F), form).IsFinite());
    EXPECT_FALSE(ScaleOf(RangeOf(-3e38F, 3e38F), form).IsFinite());
    // The largest plus 2^118 rounds back to it. Plus 2^119, still a float32, it is a tie.
    EXPECT_TRUE(ScaleOf({0x7a80, 0x7f7f}, form).IsFinite());
    EXPECT_FALSE(ScaleOf({0x7b00, 0x7f7f}, form).IsFinite());
  }
}

TEST(CompressedScale, PutsZeroAtTheEndsOfAOneSidedRange) {
  EXPECT_EQ(ScaleOf(RangeOf(0, 255), kInt8Asymmetric), Scaled(1, -128));
  EXPECT_EQ(ScaleOf(RangeOf(-255, 0), kInt8Asymmetric), Scaled(1, 127));
  EXPECT_EQ(ScaleOf(RangeOf(-1, 254), kInt8Asymmetric), Scaled(1, -127));
  EXPECT_EQ(ScaleOf(RangeOf(0, 15), kInt4Asymmetric), Scaled(1, -8));
  EXPECT_EQ(ScaleOf(RangeOf(-15, 0), kInt4Asymmetric), Scaled(1, 7));
}

TEST(CompressedScale, RoundsZeroPointsHalfToEven) {
  EXPECT_EQ(ScaleOf(RangeOf(-6.5, 8.5), kInt4Asymmetric), Scaled(1, -2));  // -1.5
  EXPECT_EQ(ScaleOf(RangeOf(-7.5, 7.5), kInt4Asymmetric), Scaled(1, 0));   // -0.5
  EXPECT_EQ(ScaleOf(RangeOf(-8.5, 6.5), kInt4Asymmetric), Scaled(1, 0));   // 0.5
  EXPECT_EQ(ScaleOf(RangeOf(-9.5, 5.5), kInt4Asymmetric), Scaled(1, 2));   // 1.5
}

TEST(CompressedScale, RoundsEachStepOfAZeroPoint) {
  // 255.5 becomes 256, 256 / 255 becomes 1.0078125; -101.5 by that, -100.71, becomes -100.5.
  EXPECT_EQ(ScaleOf(RangeOf(-101.5, 154), kInt8Asymmetric), Scaled(1.0078125F, -28));
}

TEST(CompressedScale, MakesTheZeroPointByTheScaleThatVanished) {
  EXPECT_EQ(ScaleOf({1, 0}, kInt8Asymmetric), Scaled(0.0078125F, 127));
  EXPECT_EQ(ScaleOf({1, 1}, kInt4Asymmetric), Scaled(0.0078125F, 7));
  EXPECT_EQ(ScaleOf({0, 1}, kInt8Asymmetric), Scaled(0.0078125F, 0));
}

// ---- ranges

TEST_P(Compressed, RangeHoldsZeroAndBothEnds) {
  const auto range = [](const std::vector<BF16>& w) { return RangeBF16(w.data(), w.size()); };
  EXPECT_EQ(range({}), GroupRange{});
  EXPECT_EQ(range(Row({1, 2, 3})), RangeOf(0, 3));
  EXPECT_EQ(range(Row({-1, -2, -3})), RangeOf(-3, 0));
  EXPECT_EQ(range(std::vector<BF16>(70, BF16{0x8000})), GroupRange{});
  EXPECT_EQ(range(std::vector<BF16>(70, BF16{0xff7f})), (GroupRange{0x7f7f, 0}));
}

TEST_P(Compressed, RangeOfAnyLengthAndAlignment) {
  std::mt19937 random(1);
  for (size_t n = 0; n <= kLongest; ++n) {
    const std::vector<BF16> w = HardValues(n, random);
    const GroupRange range = RangeBF16(Shifted(w, n % 5).get(), n);
    EXPECT_EQ(range, reference::RangeBF16(w.data(), n)) << n;
    EXPECT_EQ(std::max(range.below, range.above), AbsMaxBF16(w.data(), n)) << n;
    const size_t cut = n / 3;
    EXPECT_EQ(Merge(RangeBF16(w.data(), cut), RangeBF16(w.data() + cut, n - cut)), range) << n;
  }
}

TEST_P(Compressed, RangeShowsWhatIsNotFiniteAtEachPlace) {
  std::vector<BF16> w(kLongest, BF16{0x7f7f});
  EXPECT_TRUE(RangeBF16(w.data(), w.size()).IsFinite());
  for (size_t i = 0; i < w.size(); ++i) {
    const BF16 kept = std::exchange(w[i], BF16{kBeyondFinite[i % kBeyondFinite.size()]});
    EXPECT_FALSE(RangeBF16(w.data(), w.size()).IsFinite()) << i;
    EXPECT_FALSE(Merge({}, RangeBF16(w.data(), w.size())).IsFinite()) << i;
    w[i] = kept;
  }
}

// ---- codes

TEST_P(Compressed, IntegersRoundHalfToEvenAndReachBothEnds) {
  const std::vector<BF16> w = Row({0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 127.5, -127.5, -0.0F, 126.5});
  EXPECT_EQ(Codes(w, Scaled(1), kInt8), (std::vector{0, 2, 2, 0, -2, -2, 127, -128, 0, 126}));
  EXPECT_EQ(Codes(Row({7.5, -7.5, 6.5, -6.5, 1e-30F, -1e-30F}), Scaled(1), kInt4),
            (std::vector{7, -8, 6, -6, 0, 0}));
  EXPECT_EQ(Codes(Row({255, 0, -0.0F, 100.5}), Scaled(1, -128), kInt8Asymmetric),
            (std::vector{127, -128, -128, -28}));
  EXPECT_EQ(Codes(Row({-15, 0, -0.5, -1.5}), Scaled(1, 7), kInt4Asymmetric),
            (std::vector{-8, 7, 6, 6}));
}

TEST_P(Compressed, RoundedQuotientsRoundTwice) {
  // 101.5 / 1.0078125 = 100.71, which bf16 has as 100.5.
  CodeForm form = kInt8;
  const std::vector<BF16> w(80, ToBF16(101.5F));
  EXPECT_EQ(Codes(w, Scaled(1.0078125F), form), std::vector<int>(80, 101));
  form.is_quotient_rounded = true;
  EXPECT_EQ(Codes(w, Scaled(1.0078125F), form), std::vector<int>(80, 100));
  // The sum is rounded once more: 0.40625 - 100 = -99.59, which bf16 has as -99.5.
  form.is_symmetric = false;
  EXPECT_EQ(Codes(Row({0.40625F}), Scaled(1, -100), form), std::vector{-100});
  EXPECT_EQ(Codes(Row({1.40625F}), Scaled(1, -100), form), std::vector{-98});
  form.is_quotient_rounded = false;
  EXPECT_EQ(Codes(Row({1.40625F}), Scaled(1, -100), form), std::vector{-99});
}

TEST_P(Compressed, FloatsRoundHalfToEvenThroughTheSubnormals) {
  const float step = 0x1p-9F;
  std::vector<BF16> w = Row({448, -448, 17, 19, 1.0625F, 1.1875F, -0.0F, 0, step, step / 2,
                             -step / 2, 1.5F * step, 7.5F * step, 8 * step, -1e-38F});
  w.resize(70);
  std::vector<int> expected = {0x7e, 0xfe, 0x58, 0x5a, 0x38, 0x3a, 0x00, 0x00,
                               0x01, 0x00, 0x80, 0x02, 0x08, 0x08, 0x80};
  expected.resize(70);
  EXPECT_EQ(Codes(w, Scaled(1), kFp8), expected);
}

TEST_P(Compressed, FloatsNeverBecomeNan) {
  // The scale may round down, so that the quotient of the largest is above 448.
  for (uint16_t bits = 0x3f80; bits < 0x4000; ++bits) {
    const std::vector<BF16> w(65, BF16{bits});
    EXPECT_EQ(Codes(w, ScaleOf({0, bits}, kFp8), kFp8), std::vector<int>(65, 0x7e)) << bits;
  }
  // Far above where it is subnormal: 600 by a scale of one, in units of the smallest.
  const std::vector<BF16> w(65, BF16{0x8196});
  EXPECT_EQ(ScaleOf({0x0196, 0}, kFp8).scale.bits, 0x0001);
  EXPECT_EQ(Codes(w, ScaleOf({0x0196, 0}, kFp8), kFp8), std::vector<int>(65, 0xfe));
}

TEST_P(Compressed, ANegativeQuotientThatVanishesIsPositiveZero) {
  const std::vector<BF16> w(65, BF16{0x8001});
  EXPECT_EQ(Codes(w, ScaleOf({0x7f7f, 0}, kFp8), kFp8), std::vector<int>(65, 0));
}

TEST_P(Compressed, AnInfiniteScaleMakesAllCodesTheZeroPoint) {
  const GroupScale scale = ScaleOf({0x7f7f, 0x7f7f}, kInt8Asymmetric);
  EXPECT_EQ(Codes(std::vector<BF16>(65, BF16{0xff7f}), scale, kInt8Asymmetric),
            std::vector<int>(65, -128));
}

// All values of a range, with the scale that belongs to it.
void ExpectAllCodesOf(GroupRange range, CodeForm form) {
  std::vector<BF16> w;
  for (uint32_t i = 0; i <= range.above; ++i) w.push_back({static_cast<uint16_t>(i)});
  for (uint32_t i = 0; i <= range.below; ++i) w.push_back({static_cast<uint16_t>(i | 0x8000)});
  const GroupScale scale = ScaleOf(range, form);
  if (!scale.IsFinite()) return;
  std::vector<uint8_t> codes(w.size());
  std::vector<uint8_t> expected(w.size());
  QuantizeRowBF16(w.data(), w.size(), scale, form, codes.data());
  reference::QuantizeRowBF16(w.data(), w.size(), scale, form, expected.data());
  EXPECT_TRUE(codes == expected) << Describe(form) << ' ' << range.below << ' ' << range.above;
}

TEST_P(Compressed, EveryCodeOfManyRanges) {
  constexpr std::array<GroupRange, 9> ranges = {{{0, 0},
                                                 {0x0001, 0x0001},
                                                 {0x0080, 0x0003},
                                                 {0, 0x01a8},
                                                 {0x3f80, 0x3f7e},
                                                 {0x43e0, 0x43e0},
                                                 {0x4000, 0x42ff},
                                                 {0x7f7f, 0},
                                                 {0x7f7f, 0x7f7f}}};
  std::mt19937 random(3);
  for (const CodeForm form : AllForms()) {
    for (const GroupRange range : ranges) ExpectAllCodesOf(range, form);
    for (int i = 0; i < 3; ++i) {
      const auto magnitude = [&] { return static_cast<uint16_t>(random() % 0x7f80); };
      ExpectAllCodesOf({magnitude(), magnitude()}, form);
      const auto near_one = [&] { return static_cast<uint16_t>(0x3e00 + random() % 0x200); };
      ExpectAllCodesOf({near_one(), near_one()}, form);
    }
  }
}

TEST_P(Compressed, RowsOfAnyLengthAndAlignment) {
  std::mt19937 random(4);
  for (const CodeForm form : AllForms()) {
    for (size_t n = 0; n <= kLongest; ++n) {
      const std::vector<BF16> w = TameValues(n, random);
      const GroupScale scale = ScaleOf(reference::RangeBF16(w.data(), n), form);
      Guarded codes(n, n % 11);
      Guarded expected(n);
      QuantizeRowBF16(Shifted(w, n % 3).get(), n, scale, form,
                      reinterpret_cast<uint8_t*>(codes.data()));
      reference::QuantizeRowBF16(w.data(), n, scale, form,
                                 reinterpret_cast<uint8_t*>(expected.data()));
      EXPECT_TRUE(codes == expected && codes.IsIntact()) << Describe(form) << ' ' << n;
    }
  }
}

}  // namespace
}  // namespace ckpt
