// Blocks of 32 values.
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/dequantize.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/highway.h"
#include "kernel/convert_find.h"
#include "kernel/dequantize-inl.h"
#include "kernel/reference.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

#if CKPT_HAVE_SIMD

// The formulas stand in reference_blocks.cc.
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
// Bit i of the two bytes at `bits` as bit 4 of byte i.
HWY_INLINE VBytes FifthBits(const std::byte* bits) {
  const DBytes d8;
  constexpr std::array<uint8_t, 16> byte_of = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  constexpr std::array<uint8_t, 16> bit_of = {1, 2, 4, 8, 16, 32, 64, 128,
                                              1, 2, 4, 8, 16, 32, 64, 128};
  const hn::Repartition<uint16_t, DBytes> d16;
  const VBytes pairs = hn::BitCast(d8, hn::Set(d16, LoadUnaligned<uint16_t>(bits)));
  const VBytes spread = hn::TableLookupBytes(pairs, LoadBytes(d8, byte_of.data()));
  const auto is_set = hn::TestBit(spread, LoadBytes(d8, bit_of.data()));
  return hn::And(hn::VecFromMask(d8, is_set), hn::Set(d8, uint8_t{16}));
}
// 32 bits and 16 bytes of nibbles as int8, less `bias`.
HWY_INLINE void StoreFiveBits(const std::byte* packed, uint8_t bias, int8_t* q) {
  const VBytes v = LoadBytes(DBytes(), packed + 4);
  StoreBiased(hn::Or(LowNibbles(v), FifthBits(packed)), bias, q);
  StoreBiased(hn::Or(HighNibbles(v), FifthBits(packed + 2)), bias, q + 16);
}
struct FromQ50 {
  static constexpr size_t kElements = 32, kBytes = 22;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    alignas(32) int8_t q[kElements];
    StoreFiveBits(block + 2, 16, q);
    ScaleAndStore<kElements, To>(q, BroadcastHalf(block), dst);
  }
};
struct FromQ51 {
  static constexpr size_t kElements = 32, kBytes = 24;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    alignas(32) int8_t q[kElements];
    StoreFiveBits(block + 4, 0, q);
    ScaleAddAndStore<kElements, To>(q, BroadcastHalf(block), BroadcastHalf(block + 2), dst);
  }
};
struct FromIQ4NL {
  static constexpr size_t kElements = 32, kBytes = 18;
  template <class To>
  static HWY_INLINE void Convert(const std::byte* block, std::byte* dst) {
    alignas(32) int8_t q[kElements];
    StoreIQ4(block + 2, q);
    ScaleAndStore<kElements, To>(q, BroadcastHalf(block), dst);
  }
};

template <class To>
ConvertFn FindTo(DType from) {
  switch (from) {
    case DType::kQ8_0:
      return ConvertBlocks<FromQ80, To>;
    case DType::kQ4_0:
      return ConvertBlocks<FromQ40, To>;
    case DType::kQ4_1:
      return ConvertBlocks<FromQ41, To>;
    case DType::kQ5_0:
      return ConvertBlocks<FromQ50, To>;
    case DType::kQ5_1:
      return ConvertBlocks<FromQ51, To>;
    case DType::kIQ4_NL:
      return ConvertBlocks<FromIQ4NL, To>;
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
  return info.is_gguf_block && info.block_elements == 32 ? reference::FindConvert(from, to)
                                                         : nullptr;
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(FindForTarget);

ConvertFn FindDequantize32(DType from, DType to) {
  return HWY_DYNAMIC_DISPATCH(FindForTarget)(from, to);
}

}  // namespace ckpt
#endif  // HWY_ONCE
