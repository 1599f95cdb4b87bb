#pragma once

#include <bit>
#include <cstdint>

namespace ckpt {

/// A bfloat16 as its 16 bits: the upper half of a float32. Arithmetic is done in float32.
struct BF16 {
  uint16_t bits = 0;
  bool operator==(const BF16&) const = default;
};

inline float ToF32(BF16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

/// Round to nearest, ties to even; overflow to infinity; NaN stays a (quiet) NaN with its upper
/// payload.
inline BF16 ToBF16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<uint16_t>((bits >> 16) | 0x40U)};
  return {static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

/// IEEE binary16 from and to its bits. Subnormals exact; to: ties to even, overflow to infinity,
/// NaN kept.
float F16ToF32(uint16_t bits);
uint16_t F32ToF16(float x);

/// OCP 8-bit floats. E4M3 is the "FN" variant: no infinity, NaN is 0x7f and 0xff; values above 448
/// become NaN (as torch and ml_dtypes do). E5M2 has infinities. Ties to even.
float F8E4M3ToF32(uint8_t bits);
float F8E5M2ToF32(uint8_t bits);
uint8_t F32ToF8E4M3(float x);
uint8_t F32ToF8E5M2(float x);

}  // namespace ckpt
