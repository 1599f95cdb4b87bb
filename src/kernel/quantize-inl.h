// The quantizing arithmetic on vectors, compiled once per CPU target (Highway's convention: no
// #pragma once).
#if defined(CKPT_KERNEL_QUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CKPT_KERNEL_QUANTIZE_INL_H_
#undef CKPT_KERNEL_QUANTIZE_INL_H_
#else
#define CKPT_KERNEL_QUANTIZE_INL_H_
#endif

#include "base/float.h"
#include "kernel/quantize.h"
#include "kernel/reference.h"
#include "kernel/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {

#if CKPT_HAVE_SIMD

using DU16 = hn::ScalableTag<uint16_t>;
using DU32 = hn::RepartitionToWide<DU16>;
using DF32 = hn::RebindToFloat<DU32>;
using DI16 = hn::RebindToSigned<DU16>;
using VU16 = hn::Vec<DU16>;
using VU32 = hn::Vec<DU32>;
using VF32 = hn::Vec<DF32>;
using VI16 = hn::Vec<DI16>;

/// A vector of bf16 as two of float32: the even lanes and the odd lanes, which costs one operation
/// each.
struct EvenOdd {
  VF32 even;
  VF32 odd;
};
HWY_INLINE EvenOdd Widen(VU16 bf16) {
  const DU32 du;
  const DF32 df;
  const VU32 pairs = hn::BitCast(du, bf16);
  return {hn::BitCast(df, hn::ShiftLeft<16>(pairs)),
          hn::BitCast(df, hn::And(pairs, hn::Set(du, 0xffff0000U)))};
}

/// A factor, and it times 2^16 + 1, which float32 holds exactly: 8 significant bits become 24.
struct Factor {
  VF32 r;
  VF32 spread;
};
struct EvenOddFactor {
  Factor even;
  Factor odd;
};
HWY_INLINE Factor Spread(VF32 r) { return {r, hn::MulAdd(r, hn::Set(DF32(), 65536.0F), r)}; }
HWY_INLINE EvenOddFactor Spread(EvenOdd r) { return {Spread(r.even), Spread(r.odd)}; }

/// rint(R(w * r)) in the low 16 bits of each 32-bit lane. |w * r| stays below 129 as r comes from a
/// maximum over w.
HWY_INLINE VU32 RoundTwice(VF32 w, Factor f) {
  const DF32 df;
  // Two numbers of 8 significant bits: their product p is exact. Dekker's splitting rounds it to 8
  // bits, s - (s - p) where s = p * (2^16 + 1) (T. J. Dekker, "A floating-point technique for
  // extending the available precision", 1971), here to nearest even also where it lies halfway
  // (every pair of mantissas is tried in the tests). Fused, p is never formed.
  const VF32 spread = hn::Mul(w, f.spread);
  const VF32 rounded = hn::Sub(spread, hn::NegMulAdd(w, f.r, spread));
  // 1.5 * 2^23: the sum has no fraction bits, so the adder itself rounds half to even, and the low
  // bits are the integer in two's complement. Cheaper than a conversion, which Highway follows by a
  // fix for overflow.
  return hn::BitCast(DU32(), hn::Add(rounded, hn::Set(df, 12582912.0F)));
}

/// One vector of bf16 quantized to int16, not yet clamped.
HWY_INLINE VI16 QuantizeVector(VU16 w, EvenOddFactor r) {
  const EvenOdd x = Widen(w);
  const VU32 even = RoundTwice(x.even, r.even);
  const VU32 odd = RoundTwice(x.odd, r.odd);
  const DI16 d;
  return hn::OddEven(hn::BitCast(d, hn::ShiftLeft<16>(odd)), hn::BitCast(d, even));
}

/// Stores one vector's worth of int8. The 8-bit clamp is the saturation of the narrowing.
template <int kBits>
HWY_INLINE void ClampAndStore(VI16 v, int8_t* q) {
  const hn::Rebind<int8_t, DI16> d8;
  auto narrow = hn::DemoteTo(d8, v);
  if constexpr (kBits == 4)
    narrow = hn::Min(hn::Max(narrow, hn::Set(d8, int8_t{-8})), hn::Set(d8, int8_t{7}));
  hn::StoreU(narrow, d8, q);
}

HWY_INLINE EvenOddFactor Broadcast(BF16 r) {
  const Factor f = Spread(hn::Set(DF32(), ToF32(r)));
  return {f, f};
}

template <int kBits>
HWY_INLINE void QuantizeRow(const std::byte* w, size_t n, BF16 reciprocal, int8_t* q) {
  const DU16 d;
  const size_t lanes = hn::Lanes(d);
  const EvenOddFactor r = Broadcast(reciprocal);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    ClampAndStore<kBits>(QuantizeVector(LoadBytes(d, w + i * sizeof(BF16)), r), q + i);
  if (i < n) {
    reference::QuantizeRowBF16(reinterpret_cast<const BF16*>(w) + i, n - i, reciprocal, kBits,
                               q + i);
  }
}

/// |w| as bits; such magnitudes order as signed integers too, which SSSE3 can compare.
HWY_INLINE VI16 Magnitude(VU16 w) {
  return hn::BitCast(DI16(), hn::And(w, hn::Set(DU16(), uint16_t{0x7fff})));
}

/// The largest lanes of the 128-bit blocks.
template <class D, class V>
HWY_INLINE hn::Vec<hn::Full128<int16_t>> FoldHalves(D d, V v) {
  if constexpr (hn::MaxLanes(D()) > hn::MaxLanes(hn::Full128<int16_t>())) {
    const hn::Half<D> dh;
    return FoldHalves(dh, hn::Max(hn::LowerHalf(dh, v), hn::UpperHalf(dh, v)));
  } else {
    return v;
  }
}

/// The largest lane of non-negative values. By halves: Highway's MaxOfLanes is one instruction for
/// 128 bits only.
HWY_INLINE uint16_t LargestLane(VI16 v) {
  const hn::Full128<uint16_t> d;
  return hn::GetLane(hn::MaxOfLanes(d, hn::BitCast(d, FoldHalves(DI16(), v))));
}

#endif  // CKPT_HAVE_SIMD

}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
