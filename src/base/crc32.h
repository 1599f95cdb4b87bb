#pragma once

#include "base/crc.h"

namespace ckpt {

/// CRC-32 as zip, gzip and zlib have it. Crc32::Of("123456789").value() == 0xCBF43926.
struct Crc32Kind {
  static constexpr uint32_t kReflectedPolynomial = 0xedb88320U;
  static uint32_t Extend(uint32_t value, std::span<const std::byte> bytes);
};
using Crc32 = Crc<Crc32Kind>;

}  // namespace ckpt
