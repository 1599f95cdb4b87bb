#include "kernel/scaled_float.h"

#include <cmath>
#include <numeric>

#include "kernel/reference.h"
#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {
namespace {

class ScaledFloat : public KernelTest {};
CKPT_FOR_EACH_TARGET(ScaledFloat);

constexpr size_t kMostCodes = 140;  // over twice the widest vector, by one and more

TEST(E8M0, IsAPowerOfTwoDownToASubnormal) {
  for (int b = 0; b < 255; ++b)
    EXPECT_EQ(E8M0ToF32(static_cast<uint8_t>(b)), std::ldexp(1.0F, b - 127)) << b;
  EXPECT_TRUE(std::isnan(E8M0ToF32(255)));
}

TEST(E8M0, NanIsFound) {
  std::vector<uint8_t> scales(90, 254);
  EXPECT_EQ(FindNanE8M0(scales.data(), scales.size()), scales.size());
  scales[70] = scales[71] = 255;
  EXPECT_EQ(FindNanE8M0(scales.data(), scales.size()), 70U);
  EXPECT_EQ(FindNanE8M0(scales.data(), 70), 70U);
}

// ---- E4M3

// The bytes that the kernel makes at a shifted address, and the reference at another.
template <class T>
void ExpectScaledLikeReference(const Guarded& q, const std::vector<float>& scales,
                               size_t block_columns, size_t shift) {
  const auto* codes = reinterpret_cast<const uint8_t*>(q.data());
  Guarded shifted_scales(scales.size() * sizeof(float), shift % 5);
  std::memcpy(shifted_scales.data(), scales.data(), shifted_scales.size());
  Guarded made(q.size() * sizeof(T), shift);
  Guarded expected(q.size() * sizeof(T));
  DequantizeE4M3(codes, q.size(), reinterpret_cast<const float*>(shifted_scales.data()),
                 block_columns, reinterpret_cast<T*>(made.data()));
  reference::DequantizeE4M3(codes, q.size(), scales.data(), block_columns,
                            reinterpret_cast<T*>(expected.data()));
  EXPECT_TRUE(made == expected && made.IsIntact()) << q.size() << " by " << block_columns;
}

TEST_P(ScaledFloat, E4M3IsOneProductThenRounded) {
  const std::vector<uint8_t> q = {0x38, 0xb8, 0x7e, 0x01, 0x80, 0x39};
  const float scale = 1.0F + 0x1p-8F;  // halfway between two bf16
  std::vector<BF16> rounded(q.size());
  DequantizeE4M3(q.data(), q.size(), &scale, q.size(), rounded.data());
  EXPECT_EQ(rounded[0].bits, 0x3f80);
  EXPECT_EQ(rounded[1].bits, 0xbf80);
  EXPECT_EQ(rounded[2], ToBF16(448 * scale));
  EXPECT_EQ(rounded[3], ToBF16(0x1p-9F));
  EXPECT_EQ(rounded[4].bits, 0x8000);
  EXPECT_EQ(rounded[5], ToBF16(1.125F * scale));
  std::vector<float> exact(q.size());
  DequantizeE4M3(q.data(), q.size(), &scale, q.size(), exact.data());
  EXPECT_EQ(exact[0], scale);
  EXPECT_EQ(exact[2], 448 * scale);
}

TEST_P(ScaledFloat, E4M3OfEveryCodeAndHardScales) {
  Guarded q(256);
  std::iota(reinterpret_cast<uint8_t*>(q.data()), reinterpret_cast<uint8_t*>(q.data()) + 256,
            uint8_t{0});
  for (const float scale :
       {1.0F, -1.0F, 0.0F, 1e-40F, 0x1p-149F, 1e-36F, 3e36F, 3.4e38F, 0.0123F}) {
    ExpectScaledLikeReference<BF16>(q, {scale}, q.size(), 0);
    ExpectScaledLikeReference<float>(q, {scale}, q.size(), 0);
  }
}

TEST_P(ScaledFloat, E4M3OfAnyLengthBlockAndAlignment) {
  std::mt19937 random(1);
  std::vector<float> scales(kMostCodes);
  for (float& scale : scales)
    scale = std::ldexp(1.0F + 1e-7F * static_cast<float>(random() % 1000), -9);
  for (size_t n = 0; n <= kMostCodes; ++n) {
    const Guarded q = RandomBytes(n, random, n % 7);
    for (const size_t block : {size_t{1}, size_t{33}, size_t{128}, n + 1}) {
      ExpectScaledLikeReference<BF16>(q, scales, block, n % 9);
      ExpectScaledLikeReference<float>(q, scales, block, n % 9);
    }
  }
}

TEST_P(ScaledFloat, E4M3NanIsFoundAtEachPlace) {
  std::vector<uint8_t> q(kMostCodes, 0xfe);
  for (size_t i = 0; i < q.size(); ++i) {
    const uint8_t kept = std::exchange(q[i], uint8_t{i % 2 == 0 ? uint8_t{0x7f} : uint8_t{0xff}});
    EXPECT_EQ(FindNanE4M3(q.data(), q.size()), i);
    EXPECT_EQ(FindNanE4M3(q.data(), i), i) << "n where all are numbers";
    q[i] = kept;
  }
  EXPECT_EQ(FindNanE4M3(q.data(), q.size()), q.size());
  q[70] = q[71] = q[139] = 0x7f;
  EXPECT_EQ(FindNanE4M3(q.data(), q.size()), 70U);
}

// ---- MXFP4

TEST_P(ScaledFloat, Mxfp4HasTheLowNibbleFirstAndKeepsTheSignOfZero) {
  std::vector<uint8_t> block(16);
  block[0] = 0x10;
  block[1] = 0x32;
  block[2] = 0x54;
  block[3] = 0x76;
  block[4] = 0x98;
  block[15] = 0xf0;
  const uint8_t scale = 128;  // 2
  std::vector<float> out(32);
  DequantizeMxfp4(block.data(), &scale, 1, out.data());
  const std::vector<float> expected = {0, 1, 2, 3, 4, 6, 8, 12, -0.0F, -1};
  EXPECT_EQ(std::vector(out.begin(), out.begin() + 10), expected);
  EXPECT_TRUE(std::signbit(out[8]));
  EXPECT_EQ(out[31], -12);
}

TEST_P(ScaledFloat, Mxfp4ReachesTheSubnormalsAndInfinity) {
  const std::vector<uint8_t> blocks(size_t{3} * 16, 0x91);  // .5 and -.5
  const std::vector<uint8_t> large(16, 0x74);               // 2 and 6
  const std::vector<uint8_t> scales = {0, 254, 255};
  std::vector<BF16> out(3 * kMxBlock);
  DequantizeMxfp4(blocks.data(), scales.data(), 3, out.data());
  EXPECT_EQ(out[0].bits, 0x0020);
  EXPECT_EQ(out[1].bits, 0x8020);
  EXPECT_EQ(out[32].bits, 0x7e80);
  for (size_t i = 64; i < 96; ++i) EXPECT_GT(out[i].bits & 0x7fff, 0x7f80) << i;
  DequantizeMxfp4(large.data(), scales.data() + 1, 1, out.data());
  EXPECT_EQ(out[0].bits, 0x7f80);
  EXPECT_EQ(out[1].bits, 0x7f80);
}

template <class T>
void ExpectBlocksScaledLikeReference(const Guarded& blocks, const std::vector<uint8_t>& scales,
                                     size_t shift) {
  const auto* from = reinterpret_cast<const uint8_t*>(blocks.data());
  Guarded made(scales.size() * kMxBlock * sizeof(T), shift);
  Guarded expected(made.size());
  DequantizeMxfp4(from, scales.data(), scales.size(), reinterpret_cast<T*>(made.data()));
  reference::DequantizeMxfp4(from, scales.data(), scales.size(),
                             reinterpret_cast<T*>(expected.data()));
  EXPECT_TRUE(made == expected && made.IsIntact()) << scales.size() << " blocks at " << shift;
}

TEST_P(ScaledFloat, Mxfp4OfEveryScale) {
  std::mt19937 random(2);
  std::vector<uint8_t> scales(255);
  std::iota(scales.begin(), scales.end(), uint8_t{0});
  for (size_t shift = 0; shift < 7; ++shift) {
    const Guarded blocks = RandomBytes(scales.size() * 16, random, shift);
    ExpectBlocksScaledLikeReference<BF16>(blocks, scales, shift * 3);
    ExpectBlocksScaledLikeReference<float>(blocks, scales, shift * 3);
  }
  ExpectBlocksScaledLikeReference<BF16>(Guarded(0), {}, 0);
}

}  // namespace
}  // namespace ckpt
