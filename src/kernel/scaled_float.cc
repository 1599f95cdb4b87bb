#include "kernel/scaled_float.h"

#include <algorithm>
#include <array>

#include "kernel/unaligned.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/scaled_float.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/highway.h"
#include "kernel/convert-inl.h"
#include "kernel/reference.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

#if CKPT_HAVE_SIMD

/// n codes of one scale.
template <class To, class T>
HWY_INLINE void ScaleRun(const uint8_t* q, size_t n, float scale, T* out) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto s = hn::Set(d, scale);
  const auto* src = reinterpret_cast<const std::byte*>(q);
  auto* dst = reinterpret_cast<std::byte*>(out);
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    To::Store2(d, hn::Mul(FromE4M3::Load(d, src + i), s),
               hn::Mul(FromE4M3::Load(d, src + i + lanes), s), dst + i * To::kBytes);
  }
  if (i < n) reference::DequantizeE4M3(q + i, n - i, &scale, n, out + i);
}

template <class To, class T>
void ScaleRow(const uint8_t* q, size_t n, const float* scales, size_t block_columns, T* out) {
  const auto* scale = reinterpret_cast<const std::byte*>(scales);
  for (size_t i = 0; i < n; i += std::min(block_columns, n - i), scale += sizeof(float))
    ScaleRun<To>(q + i, std::min(block_columns, n - i), LoadUnaligned<float>(scale), out + i);
}

size_t FindNan(const uint8_t* q, size_t n) {
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  const auto nan = hn::Set(d, uint8_t{0x7f});
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const intptr_t first = hn::FindFirstTrue(d, hn::Eq(hn::And(hn::LoadU(d, q + i), nan), nan));
    if (first >= 0) return i + static_cast<size_t>(first);
  }
  return i + reference::FindNanE4M3(q + i, n - i);
}

/// The 32 values of a block as bf16, unscaled: the two bytes of each looked up by its nibble.
HWY_INLINE void StoreE2M1(const uint8_t* block, std::byte* values) {
  // Bytes of 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives.
  constexpr std::array<uint8_t, 16> upper = {0x00, 0x3f, 0x3f, 0x3f, 0x40, 0x40, 0x40, 0x40,
                                             0x80, 0xbf, 0xbf, 0xbf, 0xc0, 0xc0, 0xc0, 0xc0};
  constexpr std::array<uint8_t, 16> lower = {0x00, 0x00, 0x80, 0xc0, 0x00, 0x40, 0x80, 0xc0,
                                             0x00, 0x00, 0x80, 0xc0, 0x00, 0x40, 0x80, 0xc0};
  const hn::Full128<uint8_t> d;
  const auto packed = hn::LoadU(d, block);
  const auto even = hn::And(packed, hn::Set(d, uint8_t{15}));
  const auto odd = hn::ShiftRight<4>(packed);
  const auto upper_of = hn::LoadU(d, upper.data());
  const auto lower_of = hn::LoadU(d, lower.data());
  const auto put = [&](hn::Vec<hn::Full128<uint8_t>> nibbles, size_t i) HWY_ATTR {
    const auto high = hn::TableLookupBytes(upper_of, nibbles);
    const auto low = hn::TableLookupBytes(lower_of, nibbles);
    StoreBytes(hn::InterleaveLower(d, low, high), d, values + i * sizeof(BF16));
    StoreBytes(hn::InterleaveUpper(d, low, high), d, values + (i + 8) * sizeof(BF16));
  };
  put(hn::InterleaveLower(d, even, odd), 0);
  put(hn::InterleaveUpper(d, even, odd), 16);
}

/// bf16 whose lower halves as float32 are 0: nothing to round.
struct ToExactBrain {
  static constexpr size_t kBytes = ToBrain::kBytes;
  template <class D, class V>
  static HWY_INLINE void Store2(D d, V first, V second, std::byte* dst) {
    const hn::RepartitionToNarrow<hn::RebindToUnsigned<D>> du16;
    StoreBytes(hn::ConcatOdd(du16, hn::BitCast(du16, second), hn::BitCast(du16, first)), du16, dst);
  }
};

template <class To, class T>
void ScaleBlocks(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, T* out) {
  const hn::CappedTag<float, 16> d;  // two vectors make up a block, or a part of one
  const size_t lanes = hn::Lanes(d);
  auto* dst = reinterpret_cast<std::byte*>(out);
  alignas(64) std::byte values[kMxBlock * sizeof(BF16)];
  for (size_t b = 0; b < n_blocks; ++b, blocks += kMxBlock / 2) {
    StoreE2M1(blocks, values);
    const auto s = hn::Set(d, E8M0ToF32(scales[b]));
    for (size_t i = 0; i < kMxBlock; i += 2 * lanes, dst += 2 * lanes * To::kBytes) {
      To::Store2(d, hn::Mul(FromBF16::Load(d, values + i * sizeof(BF16)), s),
                 hn::Mul(FromBF16::Load(d, values + (i + lanes) * sizeof(BF16)), s), dst);
    }
  }
}

void ScaleRowToBF16(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                    BF16* out) {
  ScaleRow<ToBrain>(q, n, scales, block_columns, out);
}
void ScaleRowToF32(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                   float* out) {
  ScaleRow<ToFloat>(q, n, scales, block_columns, out);
}
void ScaleBlocksToBF16(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, BF16* out) {
  ScaleBlocks<ToExactBrain>(blocks, scales, n_blocks, out);
}
void ScaleBlocksToF32(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, float* out) {
  ScaleBlocks<ToFloat>(blocks, scales, n_blocks, out);
}

#else

void ScaleRowToBF16(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                    BF16* out) {
  reference::DequantizeE4M3(q, n, scales, block_columns, out);
}
void ScaleRowToF32(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                   float* out) {
  reference::DequantizeE4M3(q, n, scales, block_columns, out);
}
size_t FindNan(const uint8_t* q, size_t n) { return reference::FindNanE4M3(q, n); }
void ScaleBlocksToBF16(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, BF16* out) {
  reference::DequantizeMxfp4(blocks, scales, n_blocks, out);
}
void ScaleBlocksToF32(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, float* out) {
  reference::DequantizeMxfp4(blocks, scales, n_blocks, out);
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(ScaleRowToBF16);
HWY_EXPORT(ScaleRowToF32);
HWY_EXPORT(FindNan);
HWY_EXPORT(ScaleBlocksToBF16);
HWY_EXPORT(ScaleBlocksToF32);

void DequantizeE4M3(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                    BF16* out) {
  HWY_DYNAMIC_DISPATCH(ScaleRowToBF16)(q, n, scales, block_columns, out);
}
void DequantizeE4M3(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                    float* out) {
  HWY_DYNAMIC_DISPATCH(ScaleRowToF32)(q, n, scales, block_columns, out);
}
size_t FindNanE4M3(const uint8_t* q, size_t n) { return HWY_DYNAMIC_DISPATCH(FindNan)(q, n); }
void DequantizeMxfp4(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, BF16* out) {
  HWY_DYNAMIC_DISPATCH(ScaleBlocksToBF16)(blocks, scales, n_blocks, out);
}
void DequantizeMxfp4(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, float* out) {
  HWY_DYNAMIC_DISPATCH(ScaleBlocksToF32)(blocks, scales, n_blocks, out);
}

}  // namespace ckpt
#endif  // HWY_ONCE
