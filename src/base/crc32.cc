#include "base/crc32.h"

#include <isa-l/crc.h>

#include "base/crc_combine.h"

namespace ckpt {

Crc32 Crc32::Of(std::span<const std::byte> bytes) {
  Crc32 crc;
  crc.Append(bytes);
  return crc;
}

void Crc32::Append(std::span<const std::byte> bytes) {
  size_bytes_ += bytes.size();
  value_ =
      crc32_gzip_refl(value_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

void Crc32::Append(const Crc32& next) {
  value_ = CrcCombine<0xedb88320U>::Join(value_, next.value_, next.size_bytes_);
  size_bytes_ += next.size_bytes_;
}

}  // namespace ckpt
