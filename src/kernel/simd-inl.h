// Vector helpers of all kernels, compiled once per CPU target (Highway's convention: no #pragma
// once).
#if defined(CKPT_KERNEL_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CKPT_KERNEL_SIMD_INL_H_
#undef CKPT_KERNEL_SIMD_INL_H_
#else
#define CKPT_KERNEL_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

// Highway's SCALAR and EMU128 targets run the reference instead: they'd be slower than it, and
// SCALAR lacks operations.
#undef CKPT_HAVE_SIMD
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
#define CKPT_HAVE_SIMD 0
#else
#define CKPT_HAVE_SIMD 1
#endif

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if CKPT_HAVE_SIMD

/// Any alignment and any element type, so that callers never form a misaligned typed pointer.
template <class D>
HWY_INLINE hn::Vec<D> LoadBytes(D d, const void* p) {
  const hn::Repartition<uint8_t, D> d8;
  return hn::BitCast(d, hn::LoadU(d8, static_cast<const uint8_t*>(p)));
}
template <class D>
HWY_INLINE void StoreBytes(hn::Vec<D> v, D d, void* p) {
  const hn::Repartition<uint8_t, D> d8;
  hn::StoreU(hn::BitCast(d8, v), d8, static_cast<uint8_t*>(p));
}

/// float32 bits whose upper halves are the values rounded to bf16 (nearest, ties to even); the
/// lower halves are noise. Integer arithmetic, as vcvtneps2bf16 would flush denormals. Not for NaN.
template <class DU32, class V>
HWY_INLINE V RoundUpperHalf(DU32 d, V bits) {
  const V lowest_kept = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1U));
  return hn::Add(hn::Add(bits, hn::Set(d, 0x7fffU)), lowest_kept);
}

#endif  // CKPT_HAVE_SIMD

}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
