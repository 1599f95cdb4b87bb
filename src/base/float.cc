#include "base/float.h"

namespace ckpt {
namespace {

// One small-float codec for all formats: `exponent_bits` and `mantissa_bits` of fraction, IEEE
// bias. kHasInfinity: the top exponent means infinity and NaN; else (E4M3FN) only the all-ones
// pattern is NaN.
template <int kExponentBits, int kMantissaBits, bool kHasInfinity>
struct SmallFloat {
  static constexpr uint32_t kBias = (1U << (kExponentBits - 1)) - 1;
  static constexpr uint32_t kExponentMask = (1U << kExponentBits) - 1;
  static constexpr uint32_t kMantissaMask = (1U << kMantissaBits) - 1;
  static constexpr uint32_t kSignShift = kExponentBits + kMantissaBits;
  static constexpr uint32_t kMagnitudeMask = (1U << kSignShift) - 1;
  static constexpr uint32_t kInfinity = kExponentMask
                                        << kMantissaBits;  // pattern of the top exponent
  static constexpr uint32_t kNaN =
      kHasInfinity ? (kInfinity | (1U << (kMantissaBits - 1))) : kMagnitudeMask;

  static float Decode(uint32_t bits) {
    const uint32_t sign = (bits >> kSignShift) << 31;
    const uint32_t magnitude = bits & kMagnitudeMask;
    const uint32_t exponent = magnitude >> kMantissaBits;
    const uint32_t mantissa = magnitude & kMantissaMask;
    if (kHasInfinity ? exponent == kExponentMask : magnitude == kMagnitudeMask) {
      if (kHasInfinity && mantissa == 0) return std::bit_cast<float>(sign | 0x7f800000U);
      return std::bit_cast<float>(
          sign | 0x7f800000U | (kHasInfinity ? mantissa << (23 - kMantissaBits) : 0U) | 0x400000U);
    }
    if (exponent == 0) {  // subnormal: mantissa * 2^(1 - bias - mantissa bits), exact in float32
      const auto scale = std::bit_cast<float>((127U + 1 - kBias - kMantissaBits) << 23);
      const auto value = static_cast<float>(mantissa) * scale;
      return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
    }
    return std::bit_cast<float>(sign | ((exponent + 127 - kBias) << 23) |
                                (mantissa << (23 - kMantissaBits)));
  }

  static uint32_t Encode(float x) {
    const auto bits = std::bit_cast<uint32_t>(x);
    const uint32_t sign = (bits >> 31) << kSignShift;
    const uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U) {
      if (!kHasInfinity) return sign | kNaN;
      return sign | kInfinity | (1U << (kMantissaBits - 1)) |
             ((magnitude & 0x7fffffU) >> (23 - kMantissaBits));
    }
    const auto exponent = static_cast<int32_t>(magnitude >> 23) - 127 + static_cast<int32_t>(kBias);
    uint32_t fraction = (magnitude & 0x7fffffU) | (magnitude >> 23 != 0 ? 0x800000U : 0U);
    // Drop `shift` bits of the 24-bit fraction, to nearest even. A normal result adds (exponent -
    // 1) above the hidden bit.
    uint32_t shift = 23 - kMantissaBits;
    uint32_t base = 0;
    if (exponent <= 0) {
      shift += static_cast<uint32_t>(1 - exponent);
      if (shift > 25) return sign;  // below half of the smallest subnormal
    } else {
      base = static_cast<uint32_t>(exponent - 1) << kMantissaBits;
    }
    const uint32_t half = 1U << (shift - 1);
    const uint32_t rest = fraction & ((half << 1) - 1);
    fraction >>= shift;
    if (rest > half || (rest == half && (fraction & 1U) != 0)) ++fraction;
    const uint32_t result = base + fraction;
    if (kHasInfinity)
      return sign |
             (exponent > static_cast<int32_t>(kExponentMask) || result >= kInfinity ? kInfinity
                                                                                    : result);
    return sign |
           (exponent > static_cast<int32_t>(kExponentMask) || result >= kNaN ? kNaN : result);
  }
};

using Half = SmallFloat<5, 10, true>;
using E5M2 = SmallFloat<5, 2, true>;
using E4M3 = SmallFloat<4, 3, false>;

}  // namespace

float F16ToF32(uint16_t bits) { return Half::Decode(bits); }
uint16_t F32ToF16(float x) { return static_cast<uint16_t>(Half::Encode(x)); }
float F8E4M3ToF32(uint8_t bits) { return E4M3::Decode(bits); }
float F8E5M2ToF32(uint8_t bits) { return E5M2::Decode(bits); }
uint8_t F32ToF8E4M3(float x) { return static_cast<uint8_t>(E4M3::Encode(x)); }
uint8_t F32ToF8E5M2(float x) { return static_cast<uint8_t>(E5M2::Encode(x)); }

}  // namespace ckpt
