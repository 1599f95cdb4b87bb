#include <algorithm>
#include <cmath>

#include "kernel/compressed.h"
#include "kernel/reference.h"
#include "kernel/unaligned.h"

namespace ckpt {
namespace {

constexpr float kFp8Max = 448.0F;
constexpr BF16 kScaleOfNothing{0x3c00};  // 2^-7, the step of bf16 at 1

BF16 At(const BF16* w, size_t i) {
  return LoadUnaligned<BF16>(reinterpret_cast<const std::byte*>(w) + i * sizeof(BF16));
}
float Round(float x) { return ToF32(ToBF16(x)); }
float Least(CodeForm form) { return form.bits == 8 ? -128.0F : -8.0F; }
float Most(CodeForm form) { return form.bits == 8 ? 127.0F : 7.0F; }
float Clamp(float x, CodeForm form) { return std::clamp(x, Least(form), Most(form)); }
float HalfRange(CodeForm form) {
  if (form.is_float) return kFp8Max;
  return form.bits == 8 ? 127.5F : 7.5F;
}

// z by the scale as it was before a zero was replaced.
int8_t ZeroPoint(float least, float scale, CodeForm form) {
  if (scale == 0 && least == 0) return 0;  // the library's 0 / 0 becomes the integer 0
  const float z = Round(Least(form) - Round(least / scale));
  return static_cast<int8_t>(std::nearbyint(Clamp(z, form)));
}

uint8_t Encode(float x, CodeForm form) {
  if (form.is_float) return F32ToF8E4M3(std::clamp(x, -kFp8Max, kFp8Max));
  return static_cast<uint8_t>(static_cast<int8_t>(std::nearbyint(Clamp(x, form))));
}

// q + 2^(bits - 1) as its bits: the sign's bit flips.
uint32_t Biased(uint8_t code, int bits) { return (code & ((1U << bits) - 1)) ^ (1U << (bits - 1)); }

}  // namespace

GroupScale ScaleOf(GroupRange range, CodeForm form) {
  const float least = -ToF32(BF16{range.below});
  const float most = ToF32(BF16{range.above});
  GroupScale result;
  if (form.is_symmetric) {
    result.scale = ToBF16(std::max(-least, most) / HalfRange(form));
  } else {
    result.scale = ToBF16(Round(most - least) / (Most(form) - Least(form)));
    result.zero = ZeroPoint(least, ToF32(result.scale), form);
  }
  if (result.scale.bits == 0) result.scale = kScaleOfNothing;
  return result;
}

void PackZeroPoints(const int8_t* zeros, size_t rows, size_t groups, int bits, uint8_t* packed) {
  const size_t rows_of_word = 32 / static_cast<size_t>(bits);
  for (size_t r = 0; r < rows; r += rows_of_word) {
    const size_t n_rows = std::min(rows_of_word, rows - r);
    for (size_t g = 0; g < groups; ++g, packed += sizeof(uint32_t)) {
      uint32_t word = 0;
      for (size_t k = n_rows; k-- > 0;)
        word = word << bits | Biased(static_cast<uint8_t>(zeros[(r + k) * groups + g]), bits);
      StoreUnaligned(word, packed);
    }
  }
}

}  // namespace ckpt

namespace ckpt::reference {

GroupRange RangeBF16(const BF16* w, size_t n) {
  GroupRange range;
  for (size_t i = 0; i < n; ++i) {
    const uint16_t bits = At(w, i).bits;
    const auto magnitude = static_cast<uint16_t>(bits & 0x7fff);
    range = Merge(range, bits == magnitude ? GroupRange{0, magnitude} : GroupRange{magnitude, 0});
  }
  return range;
}

void QuantizeRowBF16(const BF16* w, size_t n, GroupScale scale, CodeForm form, uint8_t* codes) {
  const float s = ToF32(scale.scale);
  const auto z = static_cast<float>(scale.zero);
  for (size_t i = 0; i < n; ++i) {
    const float quotient = ToF32(At(w, i)) / s;
    const float x = form.is_quotient_rounded ? Round(Round(quotient) + z) : quotient + z;
    codes[i] = Encode(x, form);
  }
}

size_t QuantizeGroupsBF16(const BF16* const* rows, size_t n_rows, size_t n_columns,
                          size_t group_columns, CodeForm form, BF16* scales, int8_t* zeros,
                          uint8_t* codes, size_t code_stride) {
  size_t g = 0;
  for (size_t c = 0; c < n_columns; c += group_columns, ++g) {
    const size_t n = std::min(group_columns, n_columns - c);
    GroupRange range;
    for (size_t r = 0; r < n_rows; ++r) range = Merge(range, reference::RangeBF16(rows[r] + c, n));
    if (!range.IsFinite()) return g;
    const GroupScale scale = ScaleOf(range, form);
    if (!scale.IsFinite()) return g;
    StoreUnaligned(scale.scale, reinterpret_cast<std::byte*>(scales) + g * sizeof(BF16));
    if (zeros != nullptr) zeros[g] = scale.zero;
    for (size_t r = 0; r < n_rows; ++r)
      reference::QuantizeRowBF16(rows[r] + c, n, scale, form, codes + r * code_stride + c);
  }
  return g;
}

void PackCodes(const uint8_t* codes, size_t n, int bits, uint8_t* packed) {
  const size_t codes_of_word = 32 / static_cast<size_t>(bits);
  for (size_t i = 0; i < n; i += codes_of_word, packed += sizeof(uint32_t)) {
    uint32_t word = 0;
    for (size_t k = std::min(codes_of_word, n - i); k-- > 0;)
      word = word << bits | Biased(codes[i + k], bits);
    StoreUnaligned(word, packed);
  }
}

}  // namespace ckpt::reference
