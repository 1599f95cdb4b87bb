#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <climits>

#include "base/crc_combine.h"

namespace ckpt {
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
  value_ = CrcCombine<0x82f63b78U>::Join(value_, next.value_, next.size_bytes_);
  size_bytes_ += next.size_bytes_;
}

}  // namespace ckpt
