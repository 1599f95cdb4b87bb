#include <isa-l/crc.h>

#include <algorithm>
#include <climits>

#include "base/crc32.h"
#include "base/crc32c.h"

namespace ckpt {

uint32_t Crc32Kind::Extend(uint32_t value, std::span<const std::byte> bytes) {
  return crc32_gzip_refl(value, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

uint32_t Crc32cKind::Extend(uint32_t value, std::span<const std::byte> bytes) {
  // isa-l counts in int.
  while (!bytes.empty()) {
    const size_t step = std::min<size_t>(bytes.size(), INT_MAX / 2);
    auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
    value = ~crc32_iscsi(data, static_cast<int>(step), ~value);
    bytes = bytes.subspan(step);
  }
  return value;
}

}  // namespace ckpt
