#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ckpt {

/// CRC-32 as zip, gzip and zlib have it, of some bytes, with their count, so that two neighbours
/// can be joined without reading again. Crc32::Of("123456789").value() == 0xCBF43926.
class Crc32 {
 public:
  Crc32() = default;
  Crc32(uint32_t value, uint64_t size_bytes) : value_(value), size_bytes_(size_bytes) {}
  static Crc32 Of(std::span<const std::byte> bytes);

  void Append(std::span<const std::byte> bytes);
  /// The CRC of our bytes followed by `next`'s.
  void Append(const Crc32& next);

  uint32_t value() const { return value_; }
  uint64_t size_bytes() const { return size_bytes_; }
  bool operator==(const Crc32&) const = default;

 private:
  uint32_t value_ = 0;
  uint64_t size_bytes_ = 0;
};

}  // namespace ckpt
