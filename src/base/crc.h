#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ckpt {

/// A reflected CRC of degree 32 of some bytes, with their count, so that two neighbours can be
/// joined without reading again: a shift in GF(2), as zlib's crc32_combine does it, O(log size).
/// `Kind` tells the polynomial and how bytes are taken in:
///   static constexpr uint32_t kReflectedPolynomial;
///   static uint32_t Extend(uint32_t value, std::span<const std::byte> bytes);
template <class Kind>
class Crc {
 public:
  Crc() = default;
  Crc(uint32_t value, uint64_t size_bytes) : value_(value), size_bytes_(size_bytes) {}
  static Crc Of(std::span<const std::byte> bytes) {
    Crc crc;
    crc.Append(bytes);
    return crc;
  }

  void Append(std::span<const std::byte> bytes) {
    value_ = Kind::Extend(value_, bytes);
    size_bytes_ += bytes.size();
  }
  /// The CRC of our bytes followed by `next`'s.
  void Append(const Crc& next) {
    value_ = Multiply(ShiftOf(next.size_bytes_), value_) ^ next.value_;
    size_bytes_ += next.size_bytes_;
  }

  uint32_t value() const { return value_; }
  uint64_t size_bytes() const { return size_bytes_; }
  bool operator==(const Crc&) const = default;

 private:
  // The product of two polynomials modulo the CRC's, both reflected (bit 31 is x^0).
  static uint32_t Multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t bit = 0x80000000U; bit != 0; bit >>= 1) {
      if ((a & bit) != 0) product ^= b;
      b = (b & 1U) != 0 ? (b >> 1) ^ Kind::kReflectedPolynomial : b >> 1;
    }
    return product;
  }

  // x^(8 * size_bytes) modulo the polynomial: what appending that many bytes does to a CRC.
  static uint32_t ShiftOf(uint64_t size_bytes) {
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

  uint32_t value_ = 0;
  uint64_t size_bytes_ = 0;
};

}  // namespace ckpt
