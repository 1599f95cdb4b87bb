#include <algorithm>
#include <array>
#include <bit>

#include "kernel/reference.h"
#include "kernel/scaled_float.h"
#include "kernel/unaligned.h"

namespace ckpt {

float E8M0ToF32(uint8_t bits) {
  if (bits == 255) return std::bit_cast<float>(0x7fc00000U);
  // The exponent field of a float32, which ends above 2^-127: that is half of its smallest normal.
  return std::bit_cast<float>(bits == 0 ? 0x00400000U : static_cast<uint32_t>(bits) << 23);
}

size_t FindNanE8M0(const uint8_t* scales, size_t n) {
  return static_cast<size_t>(std::find(scales, scales + n, 255) - scales);
}

}  // namespace ckpt

namespace ckpt::reference {
namespace {

void Store(float value, BF16* out, size_t i) {
  StoreUnaligned(ToBF16(value), reinterpret_cast<std::byte*>(out) + i * sizeof(BF16));
}
void Store(float value, float* out, size_t i) {
  StoreUnaligned(value, reinterpret_cast<std::byte*>(out) + i * sizeof(float));
}

template <class T>
void Dequantize(const uint8_t* q, size_t n, const float* scales, size_t block_columns, T* out) {
  const auto* bytes = reinterpret_cast<const std::byte*>(scales);
  for (size_t i = 0; i < n; ++i) {
    const auto scale = LoadUnaligned<float>(bytes + i / block_columns * sizeof(float));
    Store(F8E4M3ToF32(q[i]) * scale, out, i);
  }
}

template <class T>
void DequantizeBlocks(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, T* out) {
  constexpr std::array<float, 16> values = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,  4.0F,  6.0F,
                                            -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};
  for (size_t i = 0; i < n_blocks * kMxBlock; ++i) {
    const unsigned nibble = blocks[i / 2] >> (i % 2 * 4) & 15U;
    Store(values[nibble] * E8M0ToF32(scales[i / kMxBlock]), out, i);
  }
}

}  // namespace

void DequantizeE4M3(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                    BF16* out) {
  Dequantize(q, n, scales, block_columns, out);
}
void DequantizeE4M3(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                    float* out) {
  Dequantize(q, n, scales, block_columns, out);
}

size_t FindNanE4M3(const uint8_t* q, size_t n) {
  size_t i = 0;
  while (i < n && (q[i] & 0x7f) != 0x7f) ++i;
  return i;
}

void DequantizeMxfp4(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, BF16* out) {
  DequantizeBlocks(blocks, scales, n_blocks, out);
}
void DequantizeMxfp4(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, float* out) {
  DequantizeBlocks(blocks, scales, n_blocks, out);
}

}  // namespace ckpt::reference
