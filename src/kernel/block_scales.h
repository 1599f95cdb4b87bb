#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernel/unaligned.h"

namespace ckpt {

/// What GGUF's blocks of 256 pack beside their values, a few bytes a block: reference and vectors
/// share it. Origin: ggml-org/ggml, ggml-quants.c.

/// The 16 values that the nibbles of IQ4_NL and IQ4_XS stand for.
inline constexpr std::array<int8_t, 16> kIQ4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};

/// Eight scales and eight minima of 6 bits in 12 bytes, of Q4_K and Q5_K.
struct ScalesAndMinima {
  std::array<uint8_t, 8> scales;
  std::array<uint8_t, 8> minima;
};
inline ScalesAndMinima UnpackScalesAndMinima(const std::byte* packed) {
  const auto byte = [&](size_t i) { return std::to_integer<unsigned>(packed[i]); };
  ScalesAndMinima out{};
  for (size_t j = 0; j < 4; ++j) {
    out.scales[j] = static_cast<uint8_t>(byte(j) & 63);
    out.minima[j] = static_cast<uint8_t>(byte(j + 4) & 63);
    out.scales[j + 4] = static_cast<uint8_t>((byte(j + 8) & 15) | byte(j) >> 6 << 4);
    out.minima[j + 4] = static_cast<uint8_t>(byte(j + 8) >> 4 | byte(j + 4) >> 6 << 4);
  }
  return out;
}

/// Sixteen scales of 6 bits, less 32, in 12 bytes, of Q3_K: low nibbles of bytes 0 to 7, their high
/// nibbles, and two upper bits each from bytes 8 to 11.
inline std::array<int8_t, 16> UnpackQ3KScales(const std::byte* packed) {
  const auto byte = [&](size_t i) { return std::to_integer<int>(packed[i]); };
  std::array<int8_t, 16> out{};
  for (size_t i = 0; i < 16; ++i) {
    const int low = i < 8 ? byte(i) & 15 : byte(i - 8) >> 4;
    const int high = byte(8 + i % 4) >> (2 * (i / 4)) & 3;
    out[i] = static_cast<int8_t>((low | high << 4) - 32);
  }
  return out;
}

/// Eight scales of 6 bits, less 32, of IQ4_XS: two upper bits each in a u16, then nibbles in 4
/// bytes.
inline std::array<int8_t, 8> UnpackIQ4XSScales(const std::byte* packed) {
  const int high = LoadUnaligned<uint16_t>(packed);
  std::array<int8_t, 8> out{};
  for (size_t i = 0; i < 8; ++i) {
    const int low = std::to_integer<int>(packed[2 + i / 2]) >> (4 * (i % 2)) & 15;
    out[i] = static_cast<int8_t>((low | (high >> (2 * i) & 3) << 4) - 32);
  }
  return out;
}

}  // namespace ckpt
