#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"

namespace ckpt {

enum class Compression : uint8_t {
  kNone,
  kZstd,  ///< one frame
  kZlib,
  kGzip,     ///< one member
  kDeflate,  ///< without header and checksum, as zip archives have it
};

/// The largest distance that a zstd frame may look back, log 2: what a decoder must keep.
inline constexpr int kMaxWindowLog = 27;

/// Decodes one compressed stream step by step. Memory: at most 2^window_log bytes and some KiB
/// for zstd, 64 KiB for zlib. Movable; not thread-safe.
class Decompressor {
 public:
  /// `kind` is not kNone. zstd frames that look back farther than 2^`window_log` bytes are refused.
  /// kResources if the library gets no memory.
  static Result<Decompressor> Make(Compression kind, int window_log = kMaxWindowLog);
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;
  ~Decompressor();

  /// Decodes from the front of `in` to the front of `out` and drops from both what was used. True
  /// once the stream is at its end (what follows it stays in `in`); false if `in` or `out` is used
  /// up first. Errors: kBadInput for bytes that are no such stream, its own checksum included.
  Result<bool> Step(std::span<const std::byte>& in, std::span<std::byte>& out);

 private:
  struct State;  // hides the libraries
  explicit Decompressor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ckpt
