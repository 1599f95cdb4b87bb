#include "kernel/convert.h"

#include <array>
#include <bit>

#include "kernel/reference.h"
#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {
namespace {

class Convert : public KernelTest {};
CKPT_FOR_EACH_TARGET(Convert);

constexpr std::array<DType, 6> kPlain = {DType::kF64,  DType::kF32,    DType::kF16,
                                         DType::kBF16, DType::kF8E4M3, DType::kF8E5M2};
// A block type, and where its blocks hold float16 scales.
struct BlockType {
  DType dtype;
  std::vector<size_t> halves;
};
const std::array<BlockType, 12> kBlocks = {{{DType::kQ8_0, {0}},
                                            {DType::kQ4_0, {0}},
                                            {DType::kQ4_1, {0, 2}},
                                            {DType::kQ5_0, {0}},
                                            {DType::kQ5_1, {0, 2}},
                                            {DType::kIQ4_NL, {0}},
                                            {DType::kQ2_K, {80, 82}},
                                            {DType::kQ3_K, {108}},
                                            {DType::kQ4_K, {0, 2}},
                                            {DType::kQ5_K, {0, 2}},
                                            {DType::kQ6_K, {208}},
                                            {DType::kIQ4_XS, {0}}}};
constexpr std::array<DType, 2> kOutputs = {DType::kBF16, DType::kF32};

size_t SourceBytes(DType from, size_t n) {
  return n / Info(from).block_elements * Info(from).block_bytes;
}

// Converts `n` elements on the current target and by the reference, and compares.
void ExpectLikeReference(DType from, DType to, const Guarded& src, size_t n, size_t dst_shift = 0) {
  Guarded dst(n * ElementBytes(to), dst_shift);
  Guarded expected(n * ElementBytes(to));
  FindConvert(from, to)(src.data(), dst.data(), n);
  reference::FindConvert(from, to)(src.data(), expected.data(), n);
  EXPECT_TRUE(dst == expected) << Name(from) << " to " << Name(to) << ", " << n << " elements";
  EXPECT_TRUE(dst.IsIntact()) << Name(from) << " to " << Name(to) << ", " << n << " elements";
}

// Every pattern of a type of at most 16 bits, beside base/float.h.
template <class Bits, class Decode>
void ExpectAllPatterns(DType from, const Decode& decode) {
  constexpr size_t count = size_t{1} << (8 * sizeof(Bits));
  std::vector<Bits> src(count);
  for (size_t i = 0; i < count; ++i) src[i] = static_cast<Bits>(i);
  std::vector<float> f32(count);
  std::vector<BF16> bf16(count);
  const auto* bytes = reinterpret_cast<const std::byte*>(src.data());
  FindConvert(from, DType::kF32)(bytes, reinterpret_cast<std::byte*>(f32.data()), count);
  FindConvert(from, DType::kBF16)(bytes, reinterpret_cast<std::byte*>(bf16.data()), count);
  for (size_t i = 0; i < count; ++i) {
    const float expected = decode(src[i]);
    ASSERT_EQ(std::bit_cast<uint32_t>(f32[i]), std::bit_cast<uint32_t>(expected))
        << "pattern " << i;
    if (from != DType::kBF16) {
      ASSERT_EQ(bf16[i], ToBF16(expected)) << "pattern " << i;
    } else {
      ASSERT_EQ(bf16[i].bits, src[i]) << "a copy keeps signalling NaNs";
    }
  }
}

TEST_P(Convert, EveryF16Pattern) {
  ExpectAllPatterns<uint16_t>(DType::kF16, [](uint16_t bits) { return F16ToF32(bits); });
}
TEST_P(Convert, EveryBF16Pattern) {
  ExpectAllPatterns<uint16_t>(DType::kBF16, [](uint16_t bits) { return ToF32(BF16{bits}); });
}
TEST_P(Convert, EveryE4M3Pattern) {
  ExpectAllPatterns<uint8_t>(DType::kF8E4M3, [](uint8_t bits) { return F8E4M3ToF32(bits); });
}
TEST_P(Convert, EveryE5M2Pattern) {
  ExpectAllPatterns<uint8_t>(DType::kF8E5M2, [](uint8_t bits) { return F8E5M2ToF32(bits); });
}

TEST_P(Convert, F32RoundsTiesToEvenAndKeepsNaN) {
  // Each upper half with the lower halves around the tie.
  constexpr std::array<uint32_t, 6> lower_halves = {0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xffff};
  std::vector<uint32_t> src;
  for (uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const uint32_t lower : lower_halves) src.push_back(upper << 16 | lower);
  }
  std::vector<BF16> dst(src.size());
  FindConvert(DType::kF32, DType::kBF16)(reinterpret_cast<const std::byte*>(src.data()),
                                         reinterpret_cast<std::byte*>(dst.data()), src.size());
  for (size_t i = 0; i < src.size(); ++i)
    ASSERT_EQ(dst[i], ToBF16(std::bit_cast<float>(src[i]))) << std::hex << src[i];
}

TEST_P(Convert, F64GoesThroughF32) {
  // Above the tie between two bf16 values by less than a float32 can tell: two roundings, as torch
  // has them.
  const std::array<double, 4> src = {0x1.01p0, 0x1.010000001p0, 0x1.02fffffffp0, 1e300};
  std::array<BF16, 4> dst{};
  FindConvert(DType::kF64, DType::kBF16)(reinterpret_cast<const std::byte*>(src.data()),
                                         reinterpret_cast<std::byte*>(dst.data()), src.size());
  EXPECT_EQ(dst[0].bits, 0x3f80);
  EXPECT_EQ(dst[1].bits, 0x3f80);
  EXPECT_EQ(dst[2].bits, 0x3f82);
  EXPECT_EQ(dst[3].bits, 0x7f80);
}

TEST_P(Convert, AnyLengthAndAlignment) {
  std::mt19937 random(1);
  for (const DType to : kOutputs) {
    for (const DType from : kPlain) {
      if (from == to) continue;
      for (size_t n = 0; n <= 70; ++n) {
        const Guarded src = RandomBytes(SourceBytes(from, n), random, n % 9);
        ExpectLikeReference(from, to, src, n, n % 7);
      }
    }
  }
}

TEST_P(Convert, BlocksAreDequantizedLikeTheReference) {
  std::mt19937 random(2);
  for (const DType to : kOutputs) {
    for (const auto& [from, halves] : kBlocks) {
      constexpr std::array<size_t, 5> counts = {0, 1, 2, 3, 50};
      for (const size_t blocks : counts) {
        const size_t n = blocks * Info(from).block_elements;
        Guarded src = RandomBytes(SourceBytes(from, n), random, 1 + blocks % 3);
        for (size_t b = 0; b < blocks; ++b) {
          // Finite scales, subnormal ones among them.
          std::byte* block = src.data() + b * Info(from).block_bytes;
          for (const size_t half : halves) block[half + 1] &= std::byte{0xbb};
        }
        ExpectLikeReference(from, to, src, n, blocks % 2);
      }
    }
  }
}

// The bits, or one NaN for all: which of two NaNs an operation keeps is no promise.
uint32_t BitsOrNaN(float x) { return x != x ? 0x7fc00000U : std::bit_cast<uint32_t>(x); }
uint32_t BitsOrNaN(BF16 x) { return BitsOrNaN(ToF32(x)); }

template <class T>
void ExpectSameNumbers(DType from, DType to, const Guarded& block) {
  std::array<T, 256> dst{};
  std::array<T, 256> expected{};
  const size_t n = Info(from).block_elements;
  FindConvert(from, to)(block.data(), reinterpret_cast<std::byte*>(dst.data()), n);
  reference::FindConvert(from, to)(block.data(), reinterpret_cast<std::byte*>(expected.data()), n);
  for (size_t i = 0; i < n; ++i)
    ASSERT_EQ(BitsOrNaN(dst[i]), BitsOrNaN(expected[i])) << Name(from) << " element " << i;
}

// Zeros, the least and the greatest subnormal, one, the greatest, infinity, quiet and signalling
// NaN, and the negative of each: every pair of scales, with every fill of the other bytes.
TEST_P(Convert, HardScalesOfBlocksAreLikeTheReference) {
  constexpr std::array<uint16_t, 8> magnitudes = {0x0000, 0x0001, 0x03ff, 0x3c00,
                                                  0x7bff, 0x7c00, 0x7e00, 0x7d01};
  std::vector<uint16_t> scales;
  for (const uint16_t magnitude : magnitudes) {
    scales.push_back(magnitude);
    scales.push_back(magnitude | 0x8000);
  }
  std::mt19937 random(6);
  constexpr std::array<int, 6> fills = {0x00, 0xff, 0x7f, 0x80, 0x55, -1};
  for (const auto& [from, halves] : kBlocks) {
    for (const int fill : fills) {
      for (const uint16_t first : scales) {
        for (const uint16_t second : scales) {
          if (halves.size() == 1 && first != second) continue;
          Guarded block = RandomBytes(Info(from).block_bytes, random, 1);
          if (fill >= 0) std::memset(block.data(), fill, block.size());
          std::memcpy(block.data() + halves.front(), &first, sizeof(first));
          std::memcpy(block.data() + halves.back(), &second, sizeof(second));
          ExpectSameNumbers<float>(from, DType::kF32, block);
          ExpectSameNumbers<BF16>(from, DType::kBF16, block);
        }
      }
    }
  }
}

// Every bit of a block counts: what it changes, it changes in both.
TEST_P(Convert, EveryBitOfABlockCountsAsInTheReference) {
  std::mt19937 random(7);
  for (const auto& [from, halves] : kBlocks) {
    const size_t n = Info(from).block_elements;
    const size_t bytes = Info(from).block_bytes;
    Guarded block = RandomBytes(bytes, random);
    // Nonzero scales of different size, so that no bit is lost to rounding or to a zero.
    for (const size_t half : halves) {
      const uint16_t scale = half == halves.front() ? 0x3c01 : 0x3801;
      std::memcpy(block.data() + half, &scale, sizeof(scale));
    }
    Guarded before(n * sizeof(float));
    FindConvert(from, DType::kF32)(block.data(), before.data(), n);
    for (size_t bit = 0; bit < 8 * bytes; ++bit) {
      const std::byte mask = std::byte{1} << (bit % 8);
      block.data()[bit / 8] ^= mask;
      Guarded after(n * sizeof(float));
      FindConvert(from, DType::kF32)(block.data(), after.data(), n);
      EXPECT_FALSE(after == before) << Name(from) << " bit " << bit;
      ExpectSameNumbers<float>(from, DType::kF32, block);
      block.data()[bit / 8] ^= mask;
    }
  }
}

TEST_P(Convert, NaNScaleMakesNaN) {
  std::array<std::byte, 34> block{};
  block.fill(std::byte{0x7f});  // d = 0x7f7f
  std::array<BF16, 32> dst{};
  FindConvert(DType::kQ8_0, DType::kBF16)(block.data(), reinterpret_cast<std::byte*>(dst.data()),
                                          dst.size());
  for (const BF16 x : dst) EXPECT_GT(x.bits & 0x7fff, 0x7f80);
}

TEST_P(Convert, EqualTypesAreCopied) {
  std::mt19937 random(3);
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (Info(dtype).block_elements != 1) continue;
    const Guarded src = RandomBytes(size_t{13} * Info(dtype).block_bytes, random, 3);
    Guarded dst(src.size(), 5);
    FindConvert(dtype, dtype)(src.data(), dst.data(), 13);
    EXPECT_TRUE(dst == src && dst.IsIntact()) << Name(dtype);
  }
  FindConvert(DType::kBF16, DType::kF32)(nullptr, nullptr, 0);
}

TEST_P(Convert, WhatDoesNotExistIsNull) {
  EXPECT_EQ(FindConvert(DType::kF32, DType::kF16), nullptr);
  EXPECT_EQ(FindConvert(DType::kI32, DType::kF32), nullptr);
  EXPECT_EQ(FindConvert(DType::kI8, DType::kBF16), nullptr);
  for (const DType refused : {DType::kQ8_1, DType::kQ8_K, DType::kIQ2_XXS, DType::kIQ3_S,
                              DType::kTQ1_0, DType::kMXFP4, DType::kNVFP4, DType::kQ1_0}) {
    EXPECT_EQ(FindConvert(refused, DType::kBF16), nullptr) << Name(refused);
    EXPECT_EQ(FindConvert(refused, DType::kF32), nullptr) << Name(refused);
  }
  EXPECT_EQ(FindConvert(DType::kQ8_0, DType::kQ8_0), nullptr);
  EXPECT_EQ(FindConvert(DType::kF4, DType::kF4), nullptr);
}

}  // namespace
}  // namespace ckpt
