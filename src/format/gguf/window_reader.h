#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/byte_range.h"
#include "base/result.h"

namespace ckpt::gguf {

/// Fills `into` (into.size() == range.size()) with the file's bytes of `range`.
using ReadBytes = std::function<Result<void>(ByteRange range, std::span<std::byte> into)>;

/// Reads a file front to back through a window that the caller owns; what is skipped is not read.
/// Every take is held against `end` first (the file's size, or a limit below it). Errors: kBadInput
/// at `end`; those of `read`.
class WindowReader {
 public:
  /// `window` (at least 16 bytes) and `read` must outlive the reader.
  WindowReader(const ReadBytes& read, uint64_t end, std::span<std::byte> window)
      : read_(read), end_(end), window_(window) {}

  uint64_t position() const { return position_; }
  uint64_t bytes_left() const { return end_ - position_; }

  /// Little endian.
  Result<uint8_t> U8();
  Result<uint16_t> U16();
  Result<uint32_t> U32();
  Result<uint64_t> U64();
  /// `size` bytes of any content; the caller has bounded `size`.
  Result<std::string> Text(uint64_t size);
  Result<void> Skip(uint64_t size);

 private:
  // The next `size` <= 8 bytes as a number.
  Result<uint64_t> Number(size_t size);
  Result<void> Need(uint64_t size) const;
  // At least one byte, at most `size`, from the position on; advances.
  Result<std::span<const std::byte>> Some(uint64_t size);

  const ReadBytes& read_;
  const uint64_t end_;
  const std::span<std::byte> window_;
  ByteRange held_;  // what of the file lies in window_
  uint64_t position_ = 0;
};

}  // namespace ckpt::gguf
