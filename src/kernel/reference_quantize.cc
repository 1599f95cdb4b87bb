#include <algorithm>
#include <cmath>

#include "kernel/reference.h"
#include "kernel/unaligned.h"

namespace ckpt::reference {
namespace {

constexpr uint16_t kMagnitude = 0x7fff;
constexpr uint16_t kInfinity = 0x7f80;

BF16 At(const BF16* w, size_t i) {
  return LoadUnaligned<BF16>(reinterpret_cast<const std::byte*>(w) + i * sizeof(BF16));
}
uint16_t MagnitudeAt(const BF16* w, size_t i) {
  return static_cast<uint16_t>(At(w, i).bits & kMagnitude);
}
void Put(BF16 value, BF16* out, size_t i) {
  StoreUnaligned(value, reinterpret_cast<std::byte*>(out) + i * sizeof(BF16));
}

// Two roundings on purpose: the product to bf16, then to an integer. A single one differs where
// bf16 steps by 0.5.
int8_t Quantize(BF16 w, BF16 reciprocal, int bits) {
  const float limit = bits == 8 ? 128.0F : 8.0F;
  const float rounded = std::nearbyint(ToF32(ToBF16(ToF32(w) * ToF32(reciprocal))));
  return static_cast<int8_t>(std::clamp(rounded, -limit, limit - 1.0F));
}

}  // namespace

uint16_t AbsMaxBF16(const BF16* w, size_t n) {
  uint16_t largest = 0;
  for (size_t i = 0; i < n; ++i) largest = std::max(largest, MagnitudeAt(w, i));
  return largest;
}

void ColumnAbsMaxBF16(const BF16* w, size_t n, uint16_t* column_max) {
  auto* bytes = reinterpret_cast<std::byte*>(column_max);
  for (size_t i = 0; i < n; ++i, bytes += sizeof(uint16_t))
    StoreUnaligned(std::max(LoadUnaligned<uint16_t>(bytes), MagnitudeAt(w, i)), bytes);
}

size_t FindNonFiniteBF16(const BF16* w, size_t n) {
  size_t i = 0;
  while (i < n && MagnitudeAt(w, i) < kInfinity) ++i;
  return i;
}

void QuantizeRowBF16(const BF16* w, size_t n, BF16 reciprocal, int bits, int8_t* q) {
  for (size_t i = 0; i < n; ++i) q[i] = Quantize(At(w, i), reciprocal, bits);
}

void QuantizeColumnsBF16(const BF16* w, const BF16* reciprocals, size_t n, int8_t* q) {
  for (size_t i = 0; i < n; ++i) q[i] = Quantize(At(w, i), At(reciprocals, i), 8);
}

uint16_t QuantizeBlocksBF16(const BF16* const* rows, size_t n_rows, size_t n_blocks, int bits,
                            std::byte* q, size_t q_stride, BF16* scales, size_t scale_stride) {
  uint16_t largest = 0;
  for (size_t r = 0; r < n_rows; ++r) {
    for (size_t s = 0; s < n_blocks; ++s) {
      uint16_t block_max = 0;
      for (size_t c = 0; c < kQuantBlock; ++c)
        block_max = std::max(block_max, MagnitudeAt(rows[r], s * kQuantBlock + c));
      largest = std::max(largest, block_max);
      if (block_max >= kInfinity) continue;  // the outputs have no meaning then
      const QuantScale scale = ScaleOf(block_max, bits);
      Put(scale.scale, scales, s * scale_stride + r);
      const auto value = [&](size_t c) {
        return static_cast<std::byte>(
            Quantize(At(rows[r], s * kQuantBlock + c), scale.reciprocal, bits));
      };
      const size_t lines = CollectedBlockBytes(bits);
      for (size_t c = 0; c < lines; ++c) {
        std::byte& made = q[(s * lines + c) * q_stride + r];
        made = value(c);
        if (bits == 4) made = (made & std::byte{0x0f}) | value(c + lines) << 4;
      }
    }
  }
  return largest;
}

void UnpackHalfBytes(const std::byte* packed, size_t n, bool is_upper, int8_t* q) {
  for (size_t i = 0; i < n; ++i) {
    const int half = std::to_integer<int>(packed[i]) >> (is_upper ? 4 : 0) & 15;
    q[i] = static_cast<int8_t>((half ^ 8) - 8);
  }
}

}  // namespace ckpt::reference

namespace ckpt {
namespace {
constexpr uint16_t kSmallestMax = 0x3728;  // R(1e-5) = 1.00136e-05
}  // namespace

QuantScale ScaleOf(uint16_t abs_max_bits, int bits) {
  const float max = ToF32(BF16{std::max(abs_max_bits, kSmallestMax)});
  const BF16 scale = ToBF16(max / (bits == 8 ? 127.0F : 7.0F));
  return {scale, ToBF16(1.0F / ToF32(scale))};
}

}  // namespace ckpt
