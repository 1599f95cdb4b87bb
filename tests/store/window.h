#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string>

#include "store/store.h"

namespace ckpt {

/// Memory for ObjectReader::ReadWindow() of a range: aligned, and as much as it may write.
class Window {
 public:
  explicit Window(ByteRange range)
      : offset_(range.begin % kIoAlignment),
        bytes_(range.size()),
        size_(AlignOutward(range, kIoAlignment).size()),
        memory_(static_cast<std::byte*>(
            ::operator new(size_ + kIoAlignment, std::align_val_t(kIoAlignment)))) {}

  std::span<std::byte> span() { return {memory_.get(), size_}; }
  /// The range's bytes.
  std::string text() const {
    return {reinterpret_cast<const char*>(memory_.get() + offset_), bytes_};
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const {
      ::operator delete(memory, std::align_val_t(kIoAlignment));
    }
  };
  size_t offset_;
  size_t bytes_;
  size_t size_;
  std::unique_ptr<std::byte, Free> memory_;
};

/// The range's bytes, read in bulk; a failure of the test where they cannot be read.
inline std::string ReadThroughWindow(ObjectReader& reader, ByteRange range) {
  Window window(range);
  const Result<void> result = reader.ReadWindow(range, window.span()).get();
  EXPECT_TRUE(result) << result.error().Print();
  return result ? window.text() : "";
}

}  // namespace ckpt
