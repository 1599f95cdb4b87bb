#pragma once

#include "base/crc.h"

namespace ckpt {

/// CRC-32C (Castagnoli). Crc32c::Of("123456789").value() == 0xE3069283.
struct Crc32cKind {
  static constexpr uint32_t kReflectedPolynomial = 0x82f63b78U;
  static uint32_t Extend(uint32_t value, std::span<const std::byte> bytes);
};
using Crc32c = Crc<Crc32cKind>;

}  // namespace ckpt
