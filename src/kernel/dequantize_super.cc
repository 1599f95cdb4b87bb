// Blocks of 256 values.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/dequantize_super.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/highway.h"
#include "kernel/block_scales.h"
#include "kernel/convert_find.h"
#include "kernel/dequantize-inl.h"
#include "kernel/reference.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

#if CKPT_HAVE_SIMD

// The formulas stand in reference_blocks.cc.
struct FromQ2K {
  static constexpr size_t kElements = 256, kBytes = 84;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    alignas(32) int8_t q[kElements];
    for (size_t half = 0; half < 2; ++half) {
      for (size_t l = 0; l < 32; l += 16) {
        const VBytes v = LoadBytes(DBytes(), block + 16 + 32 * half + l);
        for (size_t k = 0; k < 4; ++k)
          StoreBiased(BitsFrom(v, 2 * k, 3), 0, q + 128 * half + 32 * k + l);
      }
    }
    const VF d = BroadcastHalf(block + 80);
    const VF d_min = BroadcastHalf(block + 82);
    for (size_t s = 0; s < 16; ++s) {
      const auto scale = std::to_integer<int>(block[s]);
      ScaleSubAndStore<16, To>(q + 16 * s, SubScale(d, scale & 15), SubScale(d_min, scale >> 4),
                               dst + 16 * s * To::kBytes);
    }
  }
};
struct FromQ3K {
  static constexpr size_t kElements = 256, kBytes = 110;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    alignas(32) int8_t q[kElements];
    for (size_t l = 0; l < 32; l += 16) {
      const VBytes third = LoadBytes(DBytes(), block + l);
      for (size_t j = 0; j < 8; ++j) {
        const VBytes v = LoadBytes(DBytes(), block + 32 + 32 * (j / 4) + l);
        StoreBiased(hn::Or(BitsFrom(v, 2 * (j % 4), 3), hn::ShiftLeft<2>(BitsFrom(third, j, 1))), 4,
                    q + 32 * j + l);
      }
    }
    const VF d = BroadcastHalf(block + 108);
    const auto scales = UnpackQ3KScales(block + 96);
    for (size_t s = 0; s < 16; ++s)
      ScaleAndStore<16, To>(q + 16 * s, SubScale(d, scales[s]), dst + 16 * s * To::kBytes);
  }
};

// Eight sub-blocks of 32 from `q`, of Q4_K and Q5_K.
template <class To>
HWY_INLINE void StoreSubBlocks(const std::byte* block, const int8_t* q, std::byte* dst) {
  const VF d = BroadcastHalf(block);
  const VF d_min = BroadcastHalf(block + 2);
  const ScalesAndMinima packed = UnpackScalesAndMinima(block + 4);
  for (size_t s = 0; s < 8; ++s) {
    ScaleSubAndStore<32, To>(q + 32 * s, SubScale(d, packed.scales[s]),
                             SubScale(d_min, packed.minima[s]), dst + 32 * s * To::kBytes);
  }
}
struct FromQ4K {
  static constexpr size_t kElements = 256, kBytes = 144;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    alignas(32) int8_t q[kElements];
    for (size_t group = 0; group < 4; ++group) {
      for (size_t l = 0; l < 32; l += 16) {
        const VBytes v = LoadBytes(DBytes(), block + 16 + 32 * group + l);
        StoreBiased(LowNibbles(v), 0, q + 64 * group + l);
        StoreBiased(HighNibbles(v), 0, q + 64 * group + 32 + l);
      }
    }
    StoreSubBlocks<To>(block, q, dst);
  }
};
struct FromQ5K {
  static constexpr size_t kElements = 256, kBytes = 176;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    alignas(32) int8_t q[kElements];
    for (size_t l = 0; l < 32; l += 16) {
      const VBytes fifth = LoadBytes(DBytes(), block + 16 + l);
      const auto fifth_of = [&](size_t j)
                                HWY_ATTR { return hn::ShiftLeft<4>(BitsFrom(fifth, j, 1)); };
      for (size_t group = 0; group < 4; ++group) {
        const VBytes v = LoadBytes(DBytes(), block + 48 + 32 * group + l);
        int8_t* out = q + 64 * group + l;
        StoreBiased(hn::Or(LowNibbles(v), fifth_of(2 * group)), 0, out);
        StoreBiased(hn::Or(HighNibbles(v), fifth_of(2 * group + 1)), 0, out + 32);
      }
    }
    StoreSubBlocks<To>(block, q, dst);
  }
};
struct FromQ6K {
  static constexpr size_t kElements = 256, kBytes = 210;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    alignas(32) int8_t q[kElements];
    for (size_t half = 0; half < 2; ++half) {
      for (size_t l = 0; l < 32; l += 16) {
        const VBytes low0 = LoadBytes(DBytes(), block + 64 * half + l);
        const VBytes low1 = LoadBytes(DBytes(), block + 64 * half + 32 + l);
        const VBytes high = LoadBytes(DBytes(), block + 128 + 32 * half + l);
        const auto high_of = [&](size_t k)
                                 HWY_ATTR { return hn::ShiftLeft<4>(BitsFrom(high, 2 * k, 3)); };
        int8_t* out = q + 128 * half + l;
        StoreBiased(hn::Or(LowNibbles(low0), high_of(0)), 32, out);
        StoreBiased(hn::Or(LowNibbles(low1), high_of(1)), 32, out + 32);
        StoreBiased(hn::Or(HighNibbles(low0), high_of(2)), 32, out + 64);
        StoreBiased(hn::Or(HighNibbles(low1), high_of(3)), 32, out + 96);
      }
    }
    const VF d = BroadcastHalf(block + 208);
    const auto* scales = reinterpret_cast<const int8_t*>(block + 192);
    for (size_t s = 0; s < 16; ++s)
      ScaleAndStore<16, To>(q + 16 * s, SubScale(d, scales[s]), dst + 16 * s * To::kBytes);
  }
};
struct FromIQ4XS {
  static constexpr size_t kElements = 256, kBytes = 136;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    alignas(32) int8_t q[kElements];
    for (size_t s = 0; s < 8; ++s) StoreIQ4(block + 8 + 16 * s, q + 32 * s);
    const VF d = BroadcastHalf(block);
    const auto scales = UnpackIQ4XSScales(block + 2);
    for (size_t s = 0; s < 8; ++s)
      ScaleAndStore<32, To>(q + 32 * s, SubScale(d, scales[s]), dst + 32 * s * To::kBytes);
  }
};

template <class To>
ConvertFn FindTo(DType from) {
  switch (from) {
    case DType::kQ2_K:
      return ConvertBlocks<FromQ2K, To>;
    case DType::kQ3_K:
      return ConvertBlocks<FromQ3K, To>;
    case DType::kQ4_K:
      return ConvertBlocks<FromQ4K, To>;
    case DType::kQ5_K:
      return ConvertBlocks<FromQ5K, To>;
    case DType::kQ6_K:
      return ConvertBlocks<FromQ6K, To>;
    case DType::kIQ4_XS:
      return ConvertBlocks<FromIQ4XS, To>;
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
  const DTypeInfo& info = Info(from);
  return info.is_gguf_block && info.block_elements == 256 ? reference::FindConvert(from, to)
                                                          : nullptr;
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(FindForTarget);

ConvertFn FindDequantize256(DType from, DType to) {
  return HWY_DYNAMIC_DISPATCH(FindForTarget)(from, to);
}

}  // namespace ckpt
#endif  // HWY_ONCE
