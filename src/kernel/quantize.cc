#include "kernel/quantize.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/quantize.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/highway.h"
#include "kernel/quantize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

#if CKPT_HAVE_SIMD

const std::byte* Bytes(const BF16* w) { return reinterpret_cast<const std::byte*>(w); }

uint16_t AbsMax(const BF16* w, size_t n) {
  const DU16 d;
  const size_t lanes = hn::Lanes(d);
  const std::byte* p = Bytes(w);
  const auto at = [&](size_t i) HWY_ATTR { return Magnitude(LoadBytes(d, p + i * sizeof(BF16))); };
  VI16 max0 = hn::Zero(DI16());
  VI16 max1 = max0;
  VI16 max2 = max0;
  VI16 max3 = max0;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    max0 = hn::Max(max0, at(i));
    max1 = hn::Max(max1, at(i + lanes));
    max2 = hn::Max(max2, at(i + 2 * lanes));
    max3 = hn::Max(max3, at(i + 3 * lanes));
  }
  for (; i + lanes <= n; i += lanes) max0 = hn::Max(max0, at(i));
  const uint16_t largest = LargestLane(hn::Max(hn::Max(max0, max1), hn::Max(max2, max3)));
  return std::max(largest, reference::AbsMaxBF16(w + i, n - i));
}

void ColumnAbsMax(const BF16* w, size_t n, uint16_t* column_max) {
  const DU16 d;
  const DI16 di;
  const size_t lanes = hn::Lanes(d);
  const std::byte* p = Bytes(w);
  auto* maxima = reinterpret_cast<std::byte*>(column_max);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI16 magnitude = Magnitude(LoadBytes(d, p + i * sizeof(BF16)));
    std::byte* slot = maxima + i * sizeof(uint16_t);
    StoreBytes(hn::Max(LoadBytes(di, slot), magnitude), di, slot);
  }
  reference::ColumnAbsMaxBF16(w + i, n - i, column_max + i);
}

size_t FindNonFinite(const BF16* w, size_t n) {
  const DU16 d;
  const DI16 di;
  const size_t lanes = hn::Lanes(d);
  const std::byte* p = Bytes(w);
  const VI16 largest_finite = hn::Set(di, int16_t{0x7f7f});
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto bad = hn::Gt(Magnitude(LoadBytes(d, p + i * sizeof(BF16))), largest_finite);
    const intptr_t first = hn::FindFirstTrue(di, bad);
    if (first >= 0) return i + static_cast<size_t>(first);
  }
  return i + reference::FindNonFiniteBF16(w + i, n - i);
}

void QuantizeWholeRow(const BF16* w, size_t n, BF16 reciprocal, int bits, int8_t* q) {
  if (bits == 8) {
    QuantizeRow<8>(Bytes(w), n, reciprocal, q);
  } else {
    QuantizeRow<4>(Bytes(w), n, reciprocal, q);
  }
}

void QuantizeColumns(const BF16* w, const BF16* reciprocals, size_t n, int8_t* q) {
  const DU16 d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const EvenOddFactor r = Spread(Widen(LoadBytes(d, Bytes(reciprocals) + i * sizeof(BF16))));
    ClampAndStore<8>(QuantizeVector(LoadBytes(d, Bytes(w) + i * sizeof(BF16)), r), q + i);
  }
  reference::QuantizeColumnsBF16(w + i, reciprocals + i, n - i, q + i);
}

#else

uint16_t AbsMax(const BF16* w, size_t n) { return reference::AbsMaxBF16(w, n); }
void ColumnAbsMax(const BF16* w, size_t n, uint16_t* column_max) {
  reference::ColumnAbsMaxBF16(w, n, column_max);
}
size_t FindNonFinite(const BF16* w, size_t n) { return reference::FindNonFiniteBF16(w, n); }
void QuantizeWholeRow(const BF16* w, size_t n, BF16 reciprocal, int bits, int8_t* q) {
  reference::QuantizeRowBF16(w, n, reciprocal, bits, q);
}
void QuantizeColumns(const BF16* w, const BF16* reciprocals, size_t n, int8_t* q) {
  reference::QuantizeColumnsBF16(w, reciprocals, n, q);
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(AbsMax);
HWY_EXPORT(ColumnAbsMax);
HWY_EXPORT(FindNonFinite);
HWY_EXPORT(QuantizeWholeRow);
HWY_EXPORT(QuantizeColumns);

uint16_t AbsMaxBF16(const BF16* w, size_t n) { return HWY_DYNAMIC_DISPATCH(AbsMax)(w, n); }
void ColumnAbsMaxBF16(const BF16* w, size_t n, uint16_t* column_max) {
  HWY_DYNAMIC_DISPATCH(ColumnAbsMax)(w, n, column_max);
}
size_t FindNonFiniteBF16(const BF16* w, size_t n) {
  return HWY_DYNAMIC_DISPATCH(FindNonFinite)(w, n);
}
void QuantizeRowBF16(const BF16* w, size_t n, BF16 reciprocal, int bits, int8_t* q) {
  HWY_DYNAMIC_DISPATCH(QuantizeWholeRow)(w, n, reciprocal, bits, q);
}
void QuantizeColumnsBF16(const BF16* w, const BF16* reciprocals, size_t n, int8_t* q) {
  HWY_DYNAMIC_DISPATCH(QuantizeColumns)(w, reciprocals, n, q);
}

}  // namespace ckpt
#endif  // HWY_ONCE
