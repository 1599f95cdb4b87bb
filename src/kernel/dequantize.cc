#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/dequantize.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/highway.h"
#include "kernel/convert-inl.h"
#include "kernel/convert_find.h"
#include "kernel/reference.h"
#include "kernel/unaligned.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

#if CKPT_HAVE_SIMD

// At most 8 lanes, so that two vectors make up a sub-block of 16 elements, the smallest that shares
// one scale.
using DF = hn::CappedTag<float, 8>;
using DBytes = hn::Full128<uint8_t>;
using VF = hn::Vec<DF>;
using VBytes = hn::Vec<DBytes>;

// float16 at `p` in every lane.
HWY_INLINE VF BroadcastHalf(const std::byte* p) {
  const hn::Rebind<uint16_t, DF> d16;
  return FromF16::Decode(DF(), hn::Set(d16, LoadUnaligned<uint16_t>(p)));
}
HWY_INLINE VF Widen(const int8_t* q) {
  const DF d;
  return hn::ConvertTo(
      d, hn::PromoteTo(hn::RebindToSigned<DF>(), LoadBytes(hn::Rebind<int8_t, DF>(), q)));
}

// scale * q [+ offset] for kCount values: multiplied, rounded, then added. Never fused.
template <size_t kCount, class To>
HWY_INLINE void ScaleAndStore(const int8_t* q, VF scale, std::byte* dst) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < kCount; i += 2 * lanes) {
    To::Store2(d, hn::Mul(scale, Widen(q + i)), hn::Mul(scale, Widen(q + i + lanes)),
               dst + i * To::kBytes);
  }
}
template <size_t kCount, class To>
HWY_INLINE void ScaleAddAndStore(const int8_t* q, VF scale, VF offset, std::byte* dst) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < kCount; i += 2 * lanes) {
    To::Store2(d, hn::Add(hn::Mul(scale, Widen(q + i)), offset),
               hn::Add(hn::Mul(scale, Widen(q + i + lanes)), offset), dst + i * To::kBytes);
  }
}

HWY_INLINE VBytes LowNibbles(VBytes v) { return hn::And(v, hn::Set(DBytes(), uint8_t{15})); }
HWY_INLINE VBytes HighNibbles(VBytes v) { return hn::ShiftRight<4>(v); }
// Stores v - bias as int8.
HWY_INLINE void StoreBiased(VBytes v, uint8_t bias, int8_t* q) {
  StoreBytes(hn::Sub(v, hn::Set(DBytes(), bias)), DBytes(), q);
}

// The formulas stand in reference_convert.cc.
struct FromQ80 {
  static constexpr size_t kElements = 32, kBytes = 34;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    ScaleAndStore<kElements, To>(reinterpret_cast<const int8_t*>(block + 2), BroadcastHalf(block),
                                 dst);
  }
};
struct FromQ40 {
  static constexpr size_t kElements = 32, kBytes = 18;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    alignas(32) int8_t q[kElements];
    const VBytes v = LoadBytes(DBytes(), block + 2);
    StoreBiased(LowNibbles(v), 8, q);
    StoreBiased(HighNibbles(v), 8, q + 16);
    ScaleAndStore<kElements, To>(q, BroadcastHalf(block), dst);
  }
};
struct FromQ41 {
  static constexpr size_t kElements = 32, kBytes = 20;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    alignas(32) int8_t q[kElements];
    const VBytes v = LoadBytes(DBytes(), block + 4);
    StoreBiased(LowNibbles(v), 0, q);
    StoreBiased(HighNibbles(v), 0, q + 16);
    ScaleAddAndStore<kElements, To>(q, BroadcastHalf(block), BroadcastHalf(block + 2), dst);
  }
};
struct FromQ6K {
  static constexpr size_t kElements = 256, kBytes = 210;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    const DBytes d8;
    const auto two_bits = [&](VBytes v) HWY_ATTR {
      return hn::ShiftLeft<4>(hn::And(v, hn::Set(d8, uint8_t{3})));
    };
    alignas(32) int8_t q[kElements];
    for (size_t half = 0; half < 2; ++half) {
      for (size_t l = 0; l < 32; l += 16) {
        const VBytes low0 = LoadBytes(d8, block + 64 * half + l);
        const VBytes low1 = LoadBytes(d8, block + 64 * half + 32 + l);
        const VBytes high = LoadBytes(d8, block + 128 + 32 * half + l);
        int8_t* out = q + 128 * half + l;
        StoreBiased(hn::Or(LowNibbles(low0), two_bits(high)), 32, out);
        StoreBiased(hn::Or(LowNibbles(low1), two_bits(hn::ShiftRight<2>(high))), 32, out + 32);
        StoreBiased(hn::Or(HighNibbles(low0), two_bits(hn::ShiftRight<4>(high))), 32, out + 64);
        StoreBiased(hn::Or(HighNibbles(low1), two_bits(hn::ShiftRight<6>(high))), 32, out + 96);
      }
    }
    const VF super_scale = BroadcastHalf(block + 208);
    const auto* scales = reinterpret_cast<const int8_t*>(block + 192);
    for (size_t s = 0; s < 16; ++s) {
      const VF scale = hn::Mul(super_scale, hn::Set(DF(), static_cast<float>(scales[s])));
      ScaleAndStore<16, To>(q + 16 * s, scale, dst + 16 * s * To::kBytes);
    }
  }
};

template <class From, class To>
void ConvertBlocks(const std::byte* src, std::byte* dst, size_t n) {
  for (size_t i = 0; i < n; i += From::kElements, src += From::kBytes)
    From::template Convert<To>(src, dst + i * To::kBytes);
}

template <class To>
ConvertFn FindTo(DType from) {
  switch (from) {
    case DType::kQ8_0:
      return ConvertBlocks<FromQ80, To>;
    case DType::kQ4_0:
      return ConvertBlocks<FromQ40, To>;
    case DType::kQ4_1:
      return ConvertBlocks<FromQ41, To>;
    case DType::kQ6_K:
      return ConvertBlocks<FromQ6K, To>;
    default:
      return nullptr;
  }
}

ConvertFn FindForTarget(DType from, DType to) {
  if (to == DType::kBF16) return FindTo<ToBrain>(from);
  if (to == DType::kF32) return FindTo<ToFloat>(from);
  return nullptr;
}

#else

ConvertFn FindForTarget(DType from, DType to) {
  return Info(from).is_gguf_block ? reference::FindConvert(from, to) : nullptr;
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(FindForTarget);

ConvertFn FindDequantize(DType from, DType to) {
  return HWY_DYNAMIC_DISPATCH(FindForTarget)(from, to);
}

}  // namespace ckpt
#endif  // HWY_ONCE
