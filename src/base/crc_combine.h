#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ckpt {

/// Joins the CRCs of two neighbours without reading again, for any reflected polynomial of degree
/// 32 (0x82f63b78 is CRC-32C's, 0xedb88320 that of zip files). A shift in GF(2), as zlib's
/// crc32_combine does it: O(log size).
template <uint32_t kReflectedPolynomial>
class CrcCombine {
 public:
  /// The CRC of bytes with the CRC `first` followed by `second_bytes` bytes with the CRC `second`.
  static uint32_t Join(uint32_t first, uint32_t second, uint64_t second_bytes) {
    return Multiply(ShiftOf(second_bytes), first) ^ second;
  }

 private:
  // The product of two polynomials modulo the CRC's, both reflected (bit 31 is x^0).
  static uint32_t Multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t bit = 0x80000000U; bit != 0; bit >>= 1) {
      if ((a & bit) != 0) product ^= b;
      b = (b & 1U) != 0 ? (b >> 1) ^ kReflectedPolynomial : b >> 1;
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
};

}  // namespace ckpt
