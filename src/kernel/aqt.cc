#include "kernel/aqt.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernel/unaligned.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/aqt.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/highway.h"
#include "kernel/quantize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

#if CKPT_HAVE_SIMD

void QuantizeInt(const BF16* w, size_t n, BF16 reciprocal, AqtType type, std::byte* q) {
  const DU16 d;
  const hn::Rebind<int8_t, DI16> d8;
  const size_t lanes = hn::Lanes(d);
  const EvenOddFactor r = Broadcast(reciprocal);
  const auto limit = static_cast<int8_t>(type == AqtType::kInt8 ? 127 : 7);
  const auto most = hn::Set(d8, limit);
  const auto least = hn::Set(d8, static_cast<int8_t>(-limit));
  const auto* bytes = reinterpret_cast<const std::byte*>(w);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI16 v = QuantizeVector(LoadBytes(d, bytes + i * sizeof(BF16)), r);
    StoreBytes(hn::Min(hn::Max(hn::DemoteTo(d8, v), least), most), d8, q + i);
  }
  reference::AqtQuantizeRow(w + i, n - i, reciprocal, type, q + i);
}

#else

void QuantizeInt(const BF16* w, size_t n, BF16 reciprocal, AqtType type, std::byte* q) {
  reference::AqtQuantizeRow(w, n, reciprocal, type, q);
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(QuantizeInt);

namespace {

constexpr uint16_t kLeastNormal = 0x0080;
constexpr float kFp8Max = 448.0F;

float BoundOf(AqtType type) {
  switch (type) {
    case AqtType::kInt8:
      return 127.5F;
    case AqtType::kInt4:
      return 7.5F;
    case AqtType::kFp8E4M3:
      break;
  }
  return kFp8Max;
}

// A product has 16 bits, so its 8-bit float is a look-up.
const std::array<uint8_t, 65536>& Fp8Table() {
  static const std::array<uint8_t, 65536> table = [] {
    std::array<uint8_t, 65536> made{};
    for (uint32_t bits = 0; bits < made.size(); ++bits) {
      const float x = ToF32(BF16{static_cast<uint16_t>(bits)});
      made[bits] = F32ToF8E4M3(std::isnan(x) ? x : std::clamp(x, -kFp8Max, kFp8Max));
    }
    return made;
  }();
  return table;
}

}  // namespace

AqtScale AqtScaleOf(uint16_t abs_max_bits, AqtType type) {
  const float max = abs_max_bits < kLeastNormal ? 1.0F : ToF32(BF16{abs_max_bits});
  const BF16 scale = ToBF16(max / BoundOf(type));
  BF16 reciprocal = ToBF16(1.0F / ToF32(scale));
  if (std::isinf(ToF32(reciprocal))) reciprocal = ToBF16(1.0F);
  return {scale, reciprocal};
}

void AqtQuantizeRow(const BF16* w, size_t n, BF16 reciprocal, AqtType type, std::byte* q) {
  if (type == AqtType::kFp8E4M3) {
    reference::AqtQuantizeRow(w, n, reciprocal, type, q);
  } else {
    HWY_DYNAMIC_DISPATCH(QuantizeInt)(w, n, reciprocal, type, q);
  }
}

namespace reference {

void AqtQuantizeRow(const BF16* w, size_t n, BF16 reciprocal, AqtType type, std::byte* q) {
  const float r = ToF32(reciprocal);
  const auto* bytes = reinterpret_cast<const std::byte*>(w);
  const float limit = type == AqtType::kInt8 ? 127.0F : 7.0F;
  const std::array<uint8_t, 65536>& fp8 = Fp8Table();
  for (size_t i = 0; i < n; ++i) {
    const BF16 x = ToBF16(ToF32(LoadUnaligned<BF16>(bytes + i * sizeof(BF16))) * r);
    if (type == AqtType::kFp8E4M3) {
      q[i] = static_cast<std::byte>(fp8[x.bits]);
    } else {
      // Two roundings on purpose: the product to bf16, then to an integer.
      const float rounded = std::clamp(std::nearbyint(ToF32(x)), -limit, limit);
      q[i] = static_cast<std::byte>(static_cast<int8_t>(rounded));
    }
  }
}

}  // namespace reference
}  // namespace ckpt
#endif  // HWY_ONCE
