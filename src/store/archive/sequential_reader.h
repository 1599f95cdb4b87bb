#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <stop_token>
#include <string>

#include "base/byte_range.h"
#include "base/crc32c.h"
#include "base/message_digest.h"
#include "base/result.h"
#include "store/store.h"

namespace ckpt {

/// Reads one object once, front to back, a few windows ahead, and sums up what it hands out. Not
/// thread-safe. Its end waits for what is under way.
class SequentialReader {
 public:
  static constexpr uint64_t kWindowBytes = 4ULL << 20U;
  static constexpr size_t kWindows = 4;
  /// Of the memory that it is given.
  static constexpr uint64_t kHeldBytes = kWindowBytes * kWindows;

  /// `memory`: kHeldBytes, aligned to kIoAlignment. It and the object must outlive the reader.
  SequentialReader(ObjectReader& object, std::span<std::byte> memory, std::stop_token stop);
  SequentialReader(const SequentialReader&) = delete;
  SequentialReader& operator=(const SequentialReader&) = delete;
  ~SequentialReader();

  /// The next bytes, none at the end; they stay until the next call. Errors: those of the object,
  /// kInterrupted.
  Result<std::span<const std::byte>> Next();

  /// Bytes handed out so far, and their sums.
  uint64_t position() const { return crc32c_.size_bytes(); }
  const Crc32c& crc32c() const { return crc32c_; }
  /// The 16 bytes of the MD5. Last call.
  std::string FinishMd5() { return md5_.Finish(); }

 private:
  struct UnderWay {
    std::span<std::byte> window;
    ByteRange range;
    IoFuture read;
  };

  void Begin(std::span<std::byte> window);

  ObjectReader& object_;
  const std::stop_token stop_;
  uint64_t begun_bytes_ = 0;
  std::deque<UnderWay> under_way_;
  std::span<std::byte> current_;  // the window of what was handed out last
  Crc32c crc32c_;
  Md5 md5_;
};

}  // namespace ckpt
