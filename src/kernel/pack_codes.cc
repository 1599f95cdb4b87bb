#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/pack_codes.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/highway.h"
#include "kernel/reference.h"
#include "kernel/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

#if CKPT_HAVE_SIMD

/// How many of the codes, whole vectors of them, were packed.
size_t PackBytes(const uint8_t* codes, size_t n, uint8_t* packed) {
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::Xor(hn::LoadU(d, codes + i), hn::Set(d, uint8_t{0x80})), d, packed + i);
  return i;
}
size_t PackNibbles(const uint8_t* codes, size_t n, uint8_t* packed) {
  const hn::ScalableTag<uint16_t> d;  // lanes of two codes
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const size_t step = 2 * hn::Lanes(d);
  size_t i = 0;
  for (; i + step <= n; i += step) {
    const auto pairs = hn::Xor(LoadBytes(d, codes + i), hn::Set(d, uint16_t{0x0808}));
    const auto low = hn::And(pairs, hn::Set(d, uint16_t{0x000f}));
    const auto high = hn::And(hn::ShiftRight<4>(pairs), hn::Set(d, uint16_t{0x00f0}));
    hn::StoreU(hn::DemoteTo(d8, hn::BitCast(di, hn::Or(low, high))), d8, packed + i / 2);
  }
  return i;
}

void PackRow(const uint8_t* codes, size_t n, int bits, uint8_t* packed) {
  const size_t done = bits == 8 ? PackBytes(codes, n, packed) : PackNibbles(codes, n, packed);
  reference::PackCodes(codes + done, n - done, bits, packed + PackedBytes(done, bits));
}

#else

void PackRow(const uint8_t* codes, size_t n, int bits, uint8_t* packed) {
  reference::PackCodes(codes, n, bits, packed);
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(PackRow);

void PackCodes(const uint8_t* codes, size_t n, int bits, uint8_t* packed) {
  HWY_DYNAMIC_DISPATCH(PackRow)(codes, n, bits, packed);
}

}  // namespace ckpt
#endif  // HWY_ONCE
