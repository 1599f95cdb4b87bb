#include "kernel/quantize.h"

#include <algorithm>
#include <array>

#include "kernel/reference.h"
#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {
namespace {

class Quantize : public KernelTest {};
CKPT_FOR_EACH_TARGET(Quantize);

constexpr std::array<uint16_t, 5> kNotFinite = {0x7f80, 0xff80, 0x7fc0, 0xff81, 0x7fff};
constexpr size_t kLengths = 140;  // over twice the widest vector, by one and more

TEST(QuantScale, IsTheFormulaWithRoundingAtEachStep) {
  // Worked by hand: R(1e-5) / 127 for nothing but zeros; 1 and 127 and 7 are exact or nearly so.
  EXPECT_EQ(ScaleOf(0, 8).scale, ToBF16(ToF32(BF16{0x3728}) / 127.0F));
  EXPECT_EQ(ScaleOf(0x3727, 8).scale, ScaleOf(0x3728, 8).scale);
  EXPECT_NE(ScaleOf(0x3729, 8).scale, ScaleOf(0x0000, 4).scale);
  EXPECT_EQ(ScaleOf(ToBF16(127.0F).bits, 8).scale.bits, 0x3f80);
  EXPECT_EQ(ScaleOf(ToBF16(127.0F).bits, 8).reciprocal.bits, 0x3f80);
  EXPECT_EQ(ScaleOf(ToBF16(7.0F).bits, 4).scale.bits, 0x3f80);
  // 1 / 127 = 0x3c010204 rounds to 0x3c01; its reciprocal 127.0155 rounds to 127.
  EXPECT_EQ(ScaleOf(0x3f80, 8).scale.bits, 0x3c01);
  EXPECT_EQ(ScaleOf(0x3f80, 8).reciprocal, ToBF16(127.0F));
}

TEST_P(Quantize, AbsMaxOfAnyLengthAndAlignment) {
  std::mt19937 random(1);
  for (size_t n = 0; n <= kLengths; ++n) {
    const std::vector<BF16> w = HardValues(n, random);
    const Shifted shifted(w, n % 5);
    EXPECT_EQ(AbsMaxBF16(shifted.get(), n), reference::AbsMaxBF16(w.data(), n)) << n;
  }
}

TEST_P(Quantize, AbsMaxShowsWhatIsNotFiniteAtEachPlace) {
  std::vector<BF16> w(kLengths, BF16{0x7f7f});
  EXPECT_EQ(AbsMaxBF16(w.data(), w.size()), 0x7f7f);
  for (size_t i = 0; i < w.size(); ++i) {
    const BF16 kept = std::exchange(w[i], BF16{kNotFinite[i % kNotFinite.size()]});
    EXPECT_GE(AbsMaxBF16(w.data(), w.size()), 0x7f80) << i;
    EXPECT_EQ(FindNonFiniteBF16(w.data(), w.size()), i);
    EXPECT_EQ(FindNonFiniteBF16(w.data(), i), i) << "n where all are finite";
    w[i] = kept;
  }
  EXPECT_EQ(FindNonFiniteBF16(w.data(), w.size()), w.size());
}

TEST_P(Quantize, FindsTheFirstOfSeveral) {
  std::vector<BF16> w(kLengths);
  w[71].bits = w[70].bits = w[139].bits = 0xffff;
  EXPECT_EQ(FindNonFiniteBF16(w.data(), w.size()), 70U);
}

TEST_P(Quantize, ColumnMaximaGrowAndShowWhatIsNotFinite) {
  std::mt19937 random(2);
  for (size_t n = 0; n <= kLengths; ++n) {
    std::vector<uint16_t> maxima(n);
    std::vector<uint16_t> expected(n);
    for (int row = 0; row < 3; ++row) {
      std::vector<BF16> w = HardValues(n, random);
      if (n > 0) w[random() % n].bits = kNotFinite[n % kNotFinite.size()];
      ColumnAbsMaxBF16(Shifted(w, n % 3).get(), n, maxima.data());
      for (size_t i = 0; i < n; ++i)
        expected[i] = std::max(expected[i], static_cast<uint16_t>(w[i].bits & 0x7fff));
    }
    EXPECT_EQ(maxima, expected);
  }
}

// All finite values up to `max` in magnitude, with the reciprocal that belongs to it.
void ExpectAllValuesUpTo(uint16_t max, int bits) {
  std::vector<BF16> w;
  for (uint32_t i = 0; i <= max; ++i) {
    w.push_back({static_cast<uint16_t>(i)});
    w.push_back({static_cast<uint16_t>(i | 0x8000)});
  }
  const BF16 r = ScaleOf(max, bits).reciprocal;
  std::vector<int8_t> q(w.size());
  std::vector<int8_t> expected(w.size());
  QuantizeRowBF16(w.data(), w.size(), r, bits, q.data());
  reference::QuantizeRowBF16(w.data(), w.size(), r, bits, expected.data());
  EXPECT_EQ(q, expected) << "max " << max << ", bits " << bits;
}

TEST_P(Quantize, EveryProductOfManyScales) {
  std::mt19937 random(3);
  for (const int bits : {8, 4}) {
    constexpr std::array<uint16_t, 6> maxima = {0x0001, 0x0080, 0x3728, 0x3f80, 0x42fe, 0x7f7f};
    for (const uint16_t max : maxima) ExpectAllValuesUpTo(max, bits);
    for (int i = 0; i < 12; ++i)
      ExpectAllValuesUpTo(static_cast<uint16_t>(random() % 0x7f80), bits);
  }
}

// The rounding of a product does not depend on its exponent, so this is all of them.
TEST_P(Quantize, EveryPairOfMantissas) {
  std::vector<BF16> w;
  for (uint16_t i = 0x3a80; i <= 0x4280; ++i) {  // 2^-10 to 64
    w.push_back({i});
    w.push_back({static_cast<uint16_t>(i | 0x8000)});
  }
  std::vector<int8_t> q(w.size());
  std::vector<int8_t> expected(w.size());
  for (const int bits : {8, 4}) {
    for (uint16_t mantissa = 0; mantissa < 128; ++mantissa) {
      const BF16 r{static_cast<uint16_t>(0x3f80 | mantissa)};
      QuantizeRowBF16(w.data(), w.size(), r, bits, q.data());
      reference::QuantizeRowBF16(w.data(), w.size(), r, bits, expected.data());
      ASSERT_EQ(q, expected) << "reciprocal " << r.bits << ", bits " << bits;
    }
  }
}

TEST_P(Quantize, ReachesMinus128AndClampsAt127) {
  // 1 / 127 rounds down to bf16, so the largest value's product may round to 128: find such scales.
  bool is_minus_128_seen = false;
  for (uint16_t max = 0x3f80; max < 0x4000; ++max) {
    const std::vector<BF16> w(65, BF16{max});
    const std::vector<BF16> negative(65, BF16{static_cast<uint16_t>(max | 0x8000)});
    std::vector<int8_t> q(65);
    QuantizeRowBF16(w.data(), w.size(), ScaleOf(max, 8).reciprocal, 8, q.data());
    EXPECT_EQ(*std::min_element(q.begin(), q.end()), q[0]);
    EXPECT_GE(q[0], 126);
    QuantizeRowBF16(negative.data(), w.size(), ScaleOf(max, 8).reciprocal, 8, q.data());
    is_minus_128_seen |= q[0] == -128;
  }
  EXPECT_TRUE(is_minus_128_seen);
}

TEST_P(Quantize, RowsOfAnyLengthAndAlignment) {
  std::mt19937 random(4);
  for (const int bits : {8, 4}) {
    for (size_t n = 0; n <= kLengths; ++n) {
      const std::vector<BF16> w = HardValues(n, random);
      const BF16 r = ScaleOf(reference::AbsMaxBF16(w.data(), n), bits).reciprocal;
      Guarded q(n, n % 11);
      Guarded expected(n);
      QuantizeRowBF16(Shifted(w, n % 3).get(), n, r, bits, reinterpret_cast<int8_t*>(q.data()));
      reference::QuantizeRowBF16(w.data(), n, r, bits, reinterpret_cast<int8_t*>(expected.data()));
      EXPECT_TRUE(q == expected && q.IsIntact()) << n;
    }
  }
}

TEST_P(Quantize, ColumnsOfAnyLengthAndAlignment) {
  std::mt19937 random(5);
  for (size_t n = 0; n <= kLengths; ++n) {
    const std::vector<BF16> w = HardValues(n, random);
    std::vector<BF16> r = HardValues(n, random);
    for (size_t i = 0; i < n; ++i) {
      const auto max = std::max<uint16_t>(w[i].bits & 0x7fff, r[i].bits & 0x7fff);
      r[i] = ScaleOf(max, 8).reciprocal;
    }
    Guarded q(n, n % 11);
    Guarded expected(n);
    QuantizeColumnsBF16(Shifted(w, n % 3).get(), Shifted(r, n % 5).get(), n,
                        reinterpret_cast<int8_t*>(q.data()));
    reference::QuantizeColumnsBF16(w.data(), r.data(), n,
                                   reinterpret_cast<int8_t*>(expected.data()));
    EXPECT_TRUE(q == expected && q.IsIntact()) << n;
  }
}

// A stripe of separate rows and the place of its blockwise output.
struct Stripe {
  Stripe(size_t rows, size_t blocks, std::mt19937& random) : n_rows(rows), n_blocks(blocks) {
    for (size_t r = 0; r < rows; ++r) {
      std::vector<BF16> row = HardValues(blocks * kQuantBlock, random);
      // Exponents far apart make all but one value of a block zero: keep most blocks near 1.
      if (r % 4 != 0) {
        for (BF16& x : row) x.bits = static_cast<uint16_t>((x.bits & 0x81ff) | 0x3e00);
      }
      data.emplace_back(row, r % 3);
    }
    for (const Shifted& row : data) pointers.push_back(row.get());
  }
  size_t n_rows, n_blocks;
  std::vector<Shifted> data;
  std::vector<const BF16*> pointers;
};

void ExpectBlocksLikeReference(const Stripe& stripe, int bits, size_t q_stride, size_t q_shift) {
  const size_t q_bytes =
      (stripe.n_blocks * CollectedBlockBytes(bits) - 1) * q_stride + stripe.n_rows;
  const size_t scale_stride = stripe.n_rows + 3;
  const size_t scale_bytes = ((stripe.n_blocks - 1) * scale_stride + stripe.n_rows) * sizeof(BF16);
  Guarded q(q_bytes, q_shift);
  Guarded scales(scale_bytes, q_shift % 2);
  Guarded expected_q(q_bytes);
  Guarded expected_scales(scale_bytes);
  const auto run = [&](auto quantize, Guarded& q_out, Guarded& scales_out) {
    return quantize(stripe.pointers.data(), stripe.n_rows, stripe.n_blocks, bits, q_out.data(),
                    q_stride, reinterpret_cast<BF16*>(scales_out.data()), scale_stride);
  };
  const uint16_t max = run(QuantizeBlocksBF16, q, scales);
  EXPECT_EQ(max, run(reference::QuantizeBlocksBF16, expected_q, expected_scales));
  EXPECT_TRUE(q == expected_q && q.IsIntact()) << stripe.n_rows << " x " << stripe.n_blocks;
  EXPECT_TRUE(scales == expected_scales && scales.IsIntact())
      << stripe.n_rows << " x " << stripe.n_blocks;
}

TEST_P(Quantize, BlocksOfAnyCountAndAlignment) {
  std::mt19937 random(6);
  constexpr std::array<size_t, 6> row_counts = {1, 2, 63, 64, 65, 130};
  constexpr std::array<size_t, 4> block_counts = {1, 3, 4, 5};
  for (const size_t n_rows : row_counts) {
    for (const size_t n_blocks : block_counts) {
      const Stripe stripe(n_rows, n_blocks, random);
      ExpectBlocksLikeReference(stripe, 8, n_rows, 0);
      ExpectBlocksLikeReference(stripe, 4, n_rows + 7, 1);
    }
  }
}

TEST_P(Quantize, BlocksPastTheCaches) {
  std::mt19937 random(7);
  const Stripe stripe(256, 33, random);  // over 1 MiB of output: streamed where aligned
  ExpectBlocksLikeReference(stripe, 8, 256, 0);
  ExpectBlocksLikeReference(stripe, 8, 272, 0);
  const Stripe ragged(250, 34, random);
  ExpectBlocksLikeReference(ragged, 8, 256, 0);
  const Stripe wide(250, 66, random);
  ExpectBlocksLikeReference(wide, 4, 256, 0);
  ExpectBlocksLikeReference(wide, 4, 320, 8);  // lines that are never whole
  ExpectBlocksLikeReference(wide, 4, 272, 0);
}

// Of no maximum are 4 bits too few, so the vectors need not clamp as the reference does.
TEST_P(Quantize, BlocksOfEveryMaximum) {
  for (uint16_t max = 0; max < 0x7f80; max += 64) {
    std::vector<std::vector<BF16>> rows(64);
    std::vector<const BF16*> pointers;
    for (uint16_t r = 0; r < 64; ++r) {
      const uint16_t bits = max + r;
      for (uint16_t c = 0; c < kQuantBlock; ++c) {
        const auto below = static_cast<uint16_t>(bits > c / 2 ? bits - c / 2 : 0);
        rows[r].push_back(BF16{static_cast<uint16_t>(below | (c % 2 == 0 ? 0x8000 : 0))});
      }
      pointers.push_back(rows[r].data());
    }
    for (const int bits : {4, 8}) {
      std::vector<std::byte> q(64 * kQuantBlock);
      std::vector<std::byte> expected(q.size());
      std::array<BF16, 64> scales{};
      std::array<BF16, 64> expected_scales{};
      const auto run = [&](auto quantize, std::vector<std::byte>& to, std::array<BF16, 64>& s) {
        return quantize(pointers.data(), 64, 1, bits, to.data(), 64, s.data(), 64);
      };
      EXPECT_EQ(run(QuantizeBlocksBF16, q, scales),
                run(reference::QuantizeBlocksBF16, expected, expected_scales));
      EXPECT_EQ(q, expected) << max << " at " << bits << " bits";
      EXPECT_EQ(std::memcmp(scales.data(), expected_scales.data(), sizeof(scales)), 0) << max;
    }
  }
}

TEST_P(Quantize, UnpacksHalfBytes) {
  std::mt19937 random(8);
  constexpr std::array<size_t, 6> counts = {0, 1, 15, 64, 100, 1000};
  for (const size_t n : counts) {
    std::vector<std::byte> packed(n + 1);
    for (std::byte& b : packed) b = static_cast<std::byte>(random());
    for (const bool is_upper : {false, true}) {
      Guarded q(n, n % 3);
      Guarded expected(n);
      UnpackHalfBytes(packed.data() + 1, n, is_upper, reinterpret_cast<int8_t*>(q.data()));
      reference::UnpackHalfBytes(packed.data() + 1, n, is_upper,
                                 reinterpret_cast<int8_t*>(expected.data()));
      EXPECT_TRUE(q == expected && q.IsIntact()) << n << ' ' << is_upper;
      for (size_t i = 0; i < n; ++i) {
        const int half = std::to_integer<int>(packed[i + 1]) >> (is_upper ? 4 : 0) & 15;
        EXPECT_EQ(static_cast<int8_t>(q.data()[i]), half < 8 ? half : half - 16);
      }
    }
  }
}

TEST_P(Quantize, BlocksShowWhatIsNotFinite) {
  std::vector<BF16> row(2 * kQuantBlock, BF16{0x3f80});
  const BF16* row_data = row.data();
  std::vector<std::byte> q(row.size());
  std::array<BF16, 2> scales{};
  const auto run = [&] {
    return QuantizeBlocksBF16(&row_data, 1, 2, 8, q.data(), 1, scales.data(), 1);
  };
  EXPECT_EQ(run(), 0x3f80);
  for (size_t i = 0; i < row.size(); ++i) {
    const BF16 kept = std::exchange(row[i], BF16{kNotFinite[i % kNotFinite.size()]});
    EXPECT_GE(run(), 0x7f80) << i;
    row[i] = kept;
  }
}

}  // namespace
}  // namespace ckpt
