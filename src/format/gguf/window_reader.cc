#include "format/gguf/window_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ckpt::gguf {

Result<void> WindowReader::Need(uint64_t size) const {
  if (size <= bytes_left()) return {};
  return Result<void>(
             Fail(Code::kBadInput,
                  fmt::format("truncated: {} bytes are needed here, {} are left before byte {}",
                              size, bytes_left(), end_),
                  "the download is incomplete or the file damaged: fetch it again"))
      .map_error(Where("byte", std::to_string(position_)));
}

Result<std::span<const std::byte>> WindowReader::Some(uint64_t size) {
  if (position_ < held_.begin || position_ >= held_.end) {
    const ByteRange next{position_, position_ + std::min<uint64_t>(bytes_left(), window_.size())};
    held_ = {};
    CKPT_TRY_VOID(read_(next, window_.first(next.size())));
    held_ = next;
  }
  const uint64_t count = std::min(size, held_.end - position_);
  const auto bytes = window_.subspan(position_ - held_.begin, count);
  position_ += count;
  return std::span<const std::byte>(bytes);
}

Result<uint64_t> WindowReader::Number(size_t size) {
  CKPT_TRY_VOID(Need(size));
  uint64_t value = 0;
  for (size_t done = 0; done < size;) {
    CKPT_TRY(const std::span<const std::byte> bytes, Some(size - done));
    for (const std::byte byte : bytes) value |= std::to_integer<uint64_t>(byte) << (8 * done++);
  }
  return value;
}

Result<uint8_t> WindowReader::U8() {
  return Number(1).map([](uint64_t value) { return static_cast<uint8_t>(value); });
}
Result<uint16_t> WindowReader::U16() {
  return Number(2).map([](uint64_t value) { return static_cast<uint16_t>(value); });
}
Result<uint32_t> WindowReader::U32() {
  return Number(4).map([](uint64_t value) { return static_cast<uint32_t>(value); });
}
Result<uint64_t> WindowReader::U64() { return Number(8); }

Result<std::string> WindowReader::Text(uint64_t size) {
  CKPT_TRY_VOID(Need(size));
  std::string text;
  text.reserve(size);
  while (text.size() < size) {
    CKPT_TRY(const std::span<const std::byte> bytes, Some(size - text.size()));
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return text;
}

Result<void> WindowReader::Skip(uint64_t size) {
  CKPT_TRY_VOID(Need(size));
  position_ += size;
  return {};
}

}  // namespace ckpt::gguf
