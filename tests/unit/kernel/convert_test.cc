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
constexpr std::array<DType, 4> kBlocks = {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ6_K};
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
    for (const DType from : kBlocks) {
      constexpr std::array<size_t, 5> counts = {0, 1, 2, 3, 50};
      for (const size_t blocks : counts) {
        const size_t n = blocks * Info(from).block_elements;
        Guarded src = RandomBytes(SourceBytes(from, n), random, 1 + blocks % 3);
        for (size_t b = 0; b < blocks; ++b) {
          // Finite scales, subnormal ones among them: what NaN * 0 gives is no promise.
          std::byte* block = src.data() + b * Info(from).block_bytes;
          for (const size_t half : {size_t{1}, size_t{3}, size_t{209}}) {
            if (half < Info(from).block_bytes) block[half] &= std::byte{0xbb};
          }
        }
        ExpectLikeReference(from, to, src, n, blocks % 2);
      }
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
  EXPECT_EQ(FindConvert(DType::kQ4_K, DType::kBF16), nullptr);
  EXPECT_EQ(FindConvert(DType::kQ8_0, DType::kQ8_0), nullptr);
  EXPECT_EQ(FindConvert(DType::kF4, DType::kF4), nullptr);
}

}  // namespace
}  // namespace ckpt
