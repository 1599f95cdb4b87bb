#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/crc32c.h"

namespace ckpt {

/// Bytes from hexadecimal digits; spaces between them are for the reader.
inline std::string FromHex(std::string_view digits) {
  std::string bytes;
  uint32_t value = 0;
  bool is_high = true;
  for (const char c : digits) {
    if (c == ' ') continue;
    const auto digit = static_cast<uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    value = is_high ? digit << 4U : value | digit;
    if (!is_high) bytes += static_cast<char>(static_cast<unsigned char>(value));
    is_high = !is_high;
  }
  return bytes;
}

inline std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// `text` followed by its CRC-32C, little endian.
inline std::string WithCrc(std::string text) {
  const uint32_t crc = Crc32c::Of(Bytes(text)).value();
  for (uint32_t i = 0; i < 4; ++i)
    text += static_cast<char>(static_cast<unsigned char>(crc >> (8U * i)));
  return text;
}

}  // namespace ckpt
