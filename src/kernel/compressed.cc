#include "kernel/compressed.h"

#include <algorithm>
#include <array>

#include "kernel/unaligned.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/compressed.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/highway.h"
#include "kernel/quantize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

#if CKPT_HAVE_SIMD

const std::byte* Bytes(const BF16* w) { return reinterpret_cast<const std::byte*>(w); }

GroupRange Range(const BF16* w, size_t n) {
  const DU16 d;
  const DI16 di;
  const size_t lanes = hn::Lanes(d);
  const std::byte* p = Bytes(w);
  const VI16 sign = hn::Set(di, int16_t{-0x8000});
  // As signed integers, values of the other sign are all below 0, and magnitudes keep their order.
  VI16 above0 = hn::Zero(di);
  VI16 above1 = above0;
  VI16 below0 = above0;
  VI16 below1 = above0;
  const auto at = [&](size_t i) HWY_ATTR { return LoadBytes(di, p + i * sizeof(BF16)); };
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const VI16 x0 = at(i);
    const VI16 x1 = at(i + lanes);
    above0 = hn::Max(above0, x0);
    above1 = hn::Max(above1, x1);
    below0 = hn::Max(below0, hn::Xor(x0, sign));
    below1 = hn::Max(below1, hn::Xor(x1, sign));
  }
  for (; i + lanes <= n; i += lanes) {
    above0 = hn::Max(above0, at(i));
    below0 = hn::Max(below0, hn::Xor(at(i), sign));
  }
  const GroupRange range = {LargestLane(hn::Max(below0, below1)),
                            LargestLane(hn::Max(above0, above1))};
  return i == n ? range : Merge(range, reference::RangeBF16(w + i, n - i));
}

template <bool kIsRounded>
HWY_INLINE VF32 RoundIf(VF32 x) {
  if constexpr (!kIsRounded) return x;
  const DU32 du;
  const VU32 bits = RoundUpperHalf(du, hn::BitCast(du, x));
  return hn::BitCast(DF32(), hn::And(bits, hn::Set(du, 0xffff0000U)));
}
/// What is rounded to a code. A true division: a product with 1 / s would round twice.
template <bool kIsRounded>
HWY_INLINE VF32 Place(VF32 w, VF32 s, VF32 z) {
  return RoundIf<kIsRounded>(hn::Add(RoundIf<kIsRounded>(hn::Div(w, s)), z));
}

template <int kBits>
struct ToInt {
  static HWY_INLINE VU32 Encode(VF32 x) {
    // 1.5 * 2^23: the adder rounds half to even, the low bits are the integer (as in RoundTwice).
    return hn::BitCast(DU32(), hn::Add(x, hn::Set(DF32(), 12582912.0F)));
  }
  static HWY_INLINE void Store(VI16 v, uint8_t* codes) {
    ClampAndStore<kBits>(v, reinterpret_cast<int8_t*>(codes));
  }
};

struct ToE4M3 {
  static HWY_INLINE VU32 Encode(VF32 x) {
    constexpr uint32_t kRebias = (127U - 7U) << 23;
    const DU32 du;
    const DF32 df;
    const VF32 magnitude = hn::Min(hn::Abs(x), hn::Set(df, 448.0F));
    // To three bits of fraction, half to even; a carry goes on into the exponent.
    const VU32 bits = hn::BitCast(du, magnitude);
    const VU32 lowest_kept = hn::And(hn::ShiftRight<20>(bits), hn::Set(du, 1U));
    const VU32 normal =
        hn::ShiftRight<20>(hn::Add(hn::Add(bits, lowest_kept), hn::Set(du, 0x7ffffU - kRebias)));
    // Below 2^-6 steps of 2^-9, which are those of float32 at 2^14: there the adder rounds.
    const VF32 at_step = hn::Set(df, 16384.0F);
    const VF32 subnormal = hn::BitCast(
        df, hn::Sub(hn::BitCast(du, hn::Add(magnitude, at_step)), hn::BitCast(du, at_step)));
    const auto is_subnormal = hn::Lt(magnitude, hn::Set(df, 0.015625F));
    const VF32 code = hn::IfThenElse(is_subnormal, subnormal, hn::BitCast(df, normal));
    const VU32 sign = hn::And(hn::ShiftRight<24>(hn::BitCast(du, x)), hn::Set(du, 0x80U));
    return hn::Or(hn::BitCast(du, code), sign);
  }
  static HWY_INLINE void Store(VI16 v, uint8_t* codes) {
    const hn::Rebind<uint8_t, DI16> d8;
    hn::StoreU(hn::DemoteTo(d8, v), d8, codes);
  }
};

template <class To, bool kIsRounded>
void EncodeRow(const BF16* w, size_t n, GroupScale scale, CodeForm form, uint8_t* codes) {
  const DU16 d;
  const DI16 di;
  const size_t lanes = hn::Lanes(d);
  const VF32 s = hn::Set(DF32(), ToF32(scale.scale));
  const VF32 z = hn::Set(DF32(), static_cast<float>(scale.zero));
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const EvenOdd x = Widen(LoadBytes(d, Bytes(w) + i * sizeof(BF16)));
    const VU32 even = To::Encode(Place<kIsRounded>(x.even, s, z));
    const VU32 odd = To::Encode(Place<kIsRounded>(x.odd, s, z));
    To::Store(hn::OddEven(hn::BitCast(di, hn::ShiftLeft<16>(odd)), hn::BitCast(di, even)),
              codes + i);
  }
  if (i < n) reference::QuantizeRowBF16(w + i, n - i, scale, form, codes + i);
}

using EncodeRowFn = void (*)(const BF16*, size_t, GroupScale, CodeForm, uint8_t*);
template <class To>
EncodeRowFn FindEncodeRow(CodeForm form) {
  return form.is_quotient_rounded ? EncodeRow<To, true> : EncodeRow<To, false>;
}
EncodeRowFn FindEncodeRow(CodeForm form) {
  if (form.is_float) return FindEncodeRow<ToE4M3>(form);
  return form.bits == 8 ? FindEncodeRow<ToInt<8>>(form) : FindEncodeRow<ToInt<4>>(form);
}

void EncodeWholeRow(const BF16* w, size_t n, GroupScale scale, CodeForm form, uint8_t* codes) {
  FindEncodeRow(form)(w, n, scale, form, codes);
}

// Some groups at a time: as many as the second pass, the codes, still finds in the cache after the
// first, the ranges; and several, so that the latency of one scale hides behind the next.
constexpr size_t kMostGroups = 32;
constexpr size_t kCachedBytes = size_t{256} << 10;

size_t QuantizeGroups(const BF16* const* rows, size_t n_rows, size_t n_columns,
                      size_t group_columns, CodeForm form, BF16* scales, int8_t* zeros,
                      uint8_t* codes, size_t code_stride) {
  const EncodeRowFn encode = FindEncodeRow(form);
  const size_t n_groups = (n_columns + group_columns - 1) / group_columns;
  const size_t group_bytes = n_rows * group_columns * sizeof(BF16);
  const size_t at_once =
      std::clamp<size_t>(kCachedBytes / std::max<size_t>(group_bytes, 1), 1, kMostGroups);
  const auto columns_of = [&](size_t g) {
    return std::min(group_columns, n_columns - g * group_columns);
  };
  for (size_t first = 0; first < n_groups; first += at_once) {
    const size_t end = std::min(first + at_once, n_groups);
    std::array<GroupRange, kMostGroups> ranges{};
    for (size_t r = 0; r < n_rows; ++r) {
      for (size_t g = first; g < end; ++g) {
        GroupRange& range = ranges[g - first];
        range = Merge(range, Range(rows[r] + g * group_columns, columns_of(g)));
      }
    }
    std::array<GroupScale, kMostGroups> made{};
    for (size_t g = first; g < end; ++g) {
      if (!ranges[g - first].IsFinite()) return g;
      const GroupScale scale = made[g - first] = ScaleOf(ranges[g - first], form);
      if (!scale.IsFinite()) return g;
      StoreUnaligned(scale.scale, reinterpret_cast<std::byte*>(scales) + g * sizeof(BF16));
      if (zeros != nullptr) zeros[g] = scale.zero;
    }
    for (size_t r = 0; r < n_rows; ++r) {
      for (size_t g = first; g < end; ++g) {
        const size_t column = g * group_columns;
        encode(rows[r] + column, columns_of(g), made[g - first], form,
               codes + r * code_stride + column);
      }
    }
  }
  return n_groups;
}

#else

GroupRange Range(const BF16* w, size_t n) { return reference::RangeBF16(w, n); }
void EncodeWholeRow(const BF16* w, size_t n, GroupScale scale, CodeForm form, uint8_t* codes) {
  reference::QuantizeRowBF16(w, n, scale, form, codes);
}
size_t QuantizeGroups(const BF16* const* rows, size_t n_rows, size_t n_columns,
                      size_t group_columns, CodeForm form, BF16* scales, int8_t* zeros,
                      uint8_t* codes, size_t code_stride) {
  return reference::QuantizeGroupsBF16(rows, n_rows, n_columns, group_columns, form, scales, zeros,
                                       codes, code_stride);
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(Range);
HWY_EXPORT(EncodeWholeRow);
HWY_EXPORT(QuantizeGroups);

GroupRange RangeBF16(const BF16* w, size_t n) { return HWY_DYNAMIC_DISPATCH(Range)(w, n); }
void QuantizeRowBF16(const BF16* w, size_t n, GroupScale scale, CodeForm form, uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(EncodeWholeRow)(w, n, scale, form, codes);
}
size_t QuantizeGroupsBF16(const BF16* const* rows, size_t n_rows, size_t n_columns,
                          size_t group_columns, CodeForm form, BF16* scales, int8_t* zeros,
                          uint8_t* codes, size_t code_stride) {
  return HWY_DYNAMIC_DISPATCH(QuantizeGroups)(rows, n_rows, n_columns, group_columns, form, scales,
                                              zeros, codes, code_stride);
}

}  // namespace ckpt
#endif  // HWY_ONCE
