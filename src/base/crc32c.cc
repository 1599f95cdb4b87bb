#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <array>
#include <climits>

namespace ckpt {
namespace {

constexpr uint32_t kReflectedPolynomial = 0x82f63b78U;

// The product of two polynomials modulo the CRC's, both reflected (bit 31 is x^0).
uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 0x80000000U; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = (b & 1U) != 0 ? (b >> 1) ^ kReflectedPolynomial : b >> 1;
  }
  return product;
}

// x^(8 * size_bytes) modulo the polynomial: what appending that many bytes does to a CRC.
uint32_t ShiftOf(uint64_t size_bytes) {
  static const std::array<uint32_t, 64> powers = [] {
    std::array<uint32_t, 64> list{};
    list[0] = 0x00800000U;  // x^8: one byte
    for (size_t i = 1; i < list.size(); ++i) list[i] = Multiply(list[i - 1], list[i - 1]);
    return list;
  }();
  uint32_t shift = 0x80000000U;  // x^0
  for (size_t i = 0; size_bytes != 0; ++i, size_bytes >>= 1) {
    if ((size_bytes & 1U) != 0) shift = Multiply(shift, powers[i]);
  }
  return shift;
}

}  // namespace

Crc32c Crc32c::Of(std::span<const std::byte> bytes) {
  Crc32c crc;
  crc.Append(bytes);
  return crc;
}

void Crc32c::Append(std::span<const std::byte> bytes) {
  size_bytes_ += bytes.size();
  // isa-l counts in int.
  while (!bytes.empty()) {
    const size_t step = std::min<size_t>(bytes.size(), INT_MAX / 2);
    auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
    value_ = ~crc32_iscsi(data, static_cast<int>(step), ~value_);
    bytes = bytes.subspan(step);
  }
}

void Crc32c::Append(const Crc32c& next) {
  value_ = Multiply(ShiftOf(next.size_bytes_), value_) ^ next.value_;
  size_bytes_ += next.size_bytes_;
}

}  // namespace ckpt
