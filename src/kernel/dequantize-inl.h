// What the dequantizers share, compiled once per CPU target (Highway's convention: no #pragma
// once).
#if defined(CKPT_KERNEL_DEQUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CKPT_KERNEL_DEQUANTIZE_INL_H_
#undef CKPT_KERNEL_DEQUANTIZE_INL_H_
#else
#define CKPT_KERNEL_DEQUANTIZE_INL_H_
#endif

#include "kernel/block_scales.h"
#include "kernel/convert-inl.h"
#include "kernel/unaligned.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {

#if CKPT_HAVE_SIMD

// At most 8 lanes, so that two vectors make up a sub-block of 16 elements, the smallest that shares
// one scale.
using DF = hn::CappedTag<float, 8>;
using DBytes = hn::Full128<uint8_t>;
using VF = hn::Vec<DF>;
using VBytes = hn::Vec<DBytes>;

/// float16 at `p` in every lane.
HWY_INLINE VF BroadcastHalf(const std::byte* p) {
  const hn::Rebind<uint16_t, DF> d16;
  return FromF16::Decode(DF(), hn::Set(d16, LoadUnaligned<uint16_t>(p)));
}
/// `super` times a small integer.
template <class T>
HWY_INLINE VF SubScale(VF super, T scale) {
  return hn::Mul(super, hn::Set(DF(), static_cast<float>(scale)));
}
HWY_INLINE VF Widen(const int8_t* q) {
  const DF d;
  return hn::ConvertTo(
      d, hn::PromoteTo(hn::RebindToSigned<DF>(), LoadBytes(hn::Rebind<int8_t, DF>(), q)));
}

/// finish(scale * q) for kCount values.
template <size_t kCount, class To, class Finish>
HWY_INLINE void ScaleFinishAndStore(const int8_t* q, VF scale, std::byte* dst, Finish finish) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < kCount; i += 2 * lanes) {
    To::Store2(d, finish(hn::Mul(scale, Widen(q + i))),
               finish(hn::Mul(scale, Widen(q + i + lanes))), dst + i * To::kBytes);
  }
}
/// scale * q [+ or - offset] for kCount values: multiplied, rounded, then added. Never fused.
template <size_t kCount, class To>
HWY_INLINE void ScaleAndStore(const int8_t* q, VF scale, std::byte* dst) {
  ScaleFinishAndStore<kCount, To>(q, scale, dst, [](VF v) HWY_ATTR { return v; });
}
template <size_t kCount, class To>
HWY_INLINE void ScaleAddAndStore(const int8_t* q, VF scale, VF offset, std::byte* dst) {
  ScaleFinishAndStore<kCount, To>(q, scale, dst, [&](VF v) HWY_ATTR { return hn::Add(v, offset); });
}
template <size_t kCount, class To>
HWY_INLINE void ScaleSubAndStore(const int8_t* q, VF scale, VF offset, std::byte* dst) {
  ScaleFinishAndStore<kCount, To>(q, scale, dst, [&](VF v) HWY_ATTR { return hn::Sub(v, offset); });
}

HWY_INLINE VBytes LowNibbles(VBytes v) { return hn::And(v, hn::Set(DBytes(), uint8_t{15})); }
HWY_INLINE VBytes HighNibbles(VBytes v) { return hn::ShiftRight<4>(v); }
/// `mask` of each byte from bit `shift` on.
HWY_INLINE VBytes BitsFrom(VBytes v, size_t shift, uint8_t mask) {
  return hn::And(hn::ShiftRightSame(v, static_cast<int>(shift)), hn::Set(DBytes(), mask));
}
/// The 32 values that 16 bytes of nibbles of IQ4 stand for.
HWY_INLINE void StoreIQ4(const std::byte* packed, int8_t* q) {
  const DBytes d8;
  const VBytes table = LoadBytes(d8, kIQ4Values.data());
  const VBytes v = LoadBytes(d8, packed);
  StoreBytes(hn::TableLookupBytes(table, LowNibbles(v)), d8, q);
  StoreBytes(hn::TableLookupBytes(table, HighNibbles(v)), d8, q + 16);
}
/// Stores v - bias as int8.
HWY_INLINE void StoreBiased(VBytes v, uint8_t bias, int8_t* q) {
  StoreBytes(hn::Sub(v, hn::Set(DBytes(), bias)), DBytes(), q);
}

template <class From, class To>
void ConvertBlocks(const std::byte* src, std::byte* dst, size_t n) {
  for (size_t i = 0; i < n; i += From::kElements, src += From::kBytes)
    From::template Convert<To>(src, dst + i * To::kBytes);
}

#endif  // CKPT_HAVE_SIMD

}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
