#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ckpt {

/// CRC-32C (Castagnoli) of some bytes, with their count, so that two neighbours can be joined
/// without reading again. Crc32c::Of("123456789").value() == 0xE3069283.
class Crc32c {
 public:
  Crc32c() = default;
  Crc32c(uint32_t value, uint64_t size_bytes) : value_(value), size_bytes_(size_bytes) {}
  static Crc32c Of(std::span<const std::byte> bytes);

  void Append(std::span<const std::byte> bytes);
  /// The CRC of our bytes followed by `next`'s: a shift in GF(2), O(log size).
  void Append(const Crc32c& next);

  uint32_t value() const { return value_; }
  uint64_t size_bytes() const { return size_bytes_; }
  bool operator==(const Crc32c&) const = default;

 private:
  uint32_t value_ = 0;
  uint64_t size_bytes_ = 0;
};

}  // namespace ckpt
