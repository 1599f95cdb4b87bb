// Float formats as float32 vectors, compiled once per CPU target (Highway's convention: no #pragma
// once).
#if defined(CKPT_KERNEL_CONVERT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CKPT_KERNEL_CONVERT_INL_H_
#undef CKPT_KERNEL_CONVERT_INL_H_
#else
#define CKPT_KERNEL_CONVERT_INL_H_
#endif

#include "kernel/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {

#if CKPT_HAVE_SIMD

/// Where the output goes: two vectors at a time, since two of float32 make one of bf16.
struct ToFloat {
  static constexpr size_t kBytes = 4;
  template <class D, class V>
  static HWY_INLINE void Store2(D d, V first, V second, std::byte* dst) {
    StoreBytes(first, d, dst);
    StoreBytes(second, d, dst + hn::Lanes(d) * kBytes);
  }
};
struct ToBrain {
  static constexpr size_t kBytes = 2;
  template <class D, class V>
  static HWY_INLINE void Store2(D d, V first, V second, std::byte* dst) {
    const hn::RepartitionToNarrow<hn::RebindToUnsigned<D>> du16;
    const auto upper = hn::ConcatOdd(du16, hn::BitCast(du16, Round(d, second)),
                                     hn::BitCast(du16, Round(d, first)));
    StoreBytes(upper, du16, dst);
  }
  /// NaN keeps its sign and upper payload and becomes quiet, as in base/float.h.
  template <class D, class V>
  static HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> Round(D d, V x) {
    const hn::RebindToUnsigned<D> du;
    const auto bits = hn::BitCast(du, x);
    const auto quiet = hn::Or(bits, hn::Set(du, 0x400000U));
    return hn::IfThenElse(hn::MaskFromVec(hn::BitCast(du, hn::VecFromMask(d, hn::IsNaN(x)))), quiet,
                          RoundUpperHalf(du, bits));
  }
};

/// An IEEE-like small float, one in each 32-bit lane, as float32: exact. Subnormals by integer and
/// one subtraction, so that no denormal float32 is ever an operand (some CPUs take a hundred cycles
/// for it). kHasInfinity: the top exponent is infinity and NaN; else (E4M3FN) only the all-ones
/// pattern is NaN.
template <int kExponentBits, int kMantissaBits, bool kHasInfinity, class D, class VU>
HWY_INLINE hn::Vec<D> DecodeSmallFloat(D d, VU bits) {
  constexpr uint32_t kMagnitude = (1U << (kExponentBits + kMantissaBits)) - 1;
  constexpr uint32_t kTopExponent = ((1U << kExponentBits) - 1) << kMantissaBits;
  constexpr uint32_t kRebias = 128 - (1U << (kExponentBits - 1));  // 127 - bias
  constexpr uint32_t kSmallestNormal = (kRebias + 1) << 23;        // its float32 bits
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;  // SSE compares signed integers only

  const VU magnitude = hn::And(bits, hn::Set(du, kMagnitude));
  const VU sign = hn::ShiftLeft<31 - kExponentBits - kMantissaBits>(hn::Xor(bits, magnitude));
  const VU shifted = hn::ShiftLeft<23 - kMantissaBits>(magnitude);
  const VU normal = hn::Add(shifted, hn::Set(du, kRebias << 23));
  const VU smallest = hn::Set(du, kSmallestNormal);
  const VU subnormal = hn::BitCast(
      du, hn::Sub(hn::BitCast(d, hn::Add(shifted, smallest)), hn::BitCast(d, smallest)));

  const auto is_above = [&](VU x, uint32_t limit) HWY_ATTR {
    return hn::BitCast(du, hn::VecFromMask(di, hn::Gt(hn::BitCast(di, x),
                                                      hn::Set(di, static_cast<int32_t>(limit)))));
  };
  VU value = hn::IfVecThenElse(is_above(magnitude, (1U << kMantissaBits) - 1), normal, subnormal);
  if constexpr (kHasInfinity) {
    const VU quiet = hn::And(is_above(magnitude, kTopExponent), hn::Set(du, 0x400000U));
    const VU special = hn::Or(hn::Or(shifted, hn::Set(du, 0x7f800000U)), quiet);
    value = hn::IfVecThenElse(is_above(magnitude, kTopExponent - 1), special, value);
  } else {
    value = hn::IfVecThenElse(is_above(magnitude, kMagnitude - 1), hn::Set(du, 0x7fc00000U), value);
  }
  return hn::BitCast(d, hn::Or(sign, value));
}

struct FromF32 {
  static constexpr size_t kBytes = 4;
  template <class D>
  static HWY_INLINE hn::Vec<D> Load(D d, const std::byte* p) {
    return LoadBytes(d, p);
  }
};
struct FromBF16 {
  static constexpr size_t kBytes = 2;
  template <class D>
  static HWY_INLINE hn::Vec<D> Load(D d, const std::byte* p) {
    const hn::RebindToUnsigned<D> du;
    const auto half = LoadBytes(hn::Rebind<uint16_t, D>(), p);
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, half)));
  }
};
struct FromF16 {
  static constexpr size_t kBytes = 2;
  template <class D>
  static HWY_INLINE hn::Vec<D> Load(D d, const std::byte* p) {
    const hn::Rebind<uint16_t, D> du16;
    return Decode(d, LoadBytes(du16, p));
  }
  template <class D, class V>
  static HWY_INLINE hn::Vec<D> Decode(D d, V half) {
#if HWY_TARGET <= HWY_AVX2  // vcvtph2ps: exact for subnormals, makes NaN quiet
    return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), half));
#else
    return DecodeSmallFloat<5, 10, true>(d, hn::PromoteTo(hn::RebindToUnsigned<D>(), half));
#endif
  }
};
template <int kExponentBits, int kMantissaBits, bool kHasInfinity>
struct FromF8 {
  static constexpr size_t kBytes = 1;
  template <class D>
  static HWY_INLINE hn::Vec<D> Load(D d, const std::byte* p) {
    const hn::RebindToUnsigned<D> du;
    const auto bits = hn::PromoteTo(du, LoadBytes(hn::Rebind<uint8_t, D>(), p));
    return DecodeSmallFloat<kExponentBits, kMantissaBits, kHasInfinity>(d, bits);
  }
};
using FromE4M3 = FromF8<4, 3, false>;
using FromE5M2 = FromF8<5, 2, true>;

#endif  // CKPT_HAVE_SIMD

}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
