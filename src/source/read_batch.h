#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"
#include "store/store.h"

namespace ckpt {

/// Gives the reader of an object. Shared: whoever gives it may close it when nobody holds it.
using OpenObject = std::function<Result<std::shared_ptr<ObjectReader>>(uint32_t object)>;

/// Reads below each other in one object are one read across gaps of at most this much...
inline constexpr uint64_t kMergeGapBytes = 64ULL << 10U;
/// ... and up to this length.
inline constexpr uint64_t kMergeMostBytes = 16ULL << 20U;

/// Ranges of objects, collected until they fill a window of memory, then read all at once.
class ReadBatch {
 public:
  /// Called with `tag` and the bytes of a range, in order of objects and offsets; valid during the
  /// call.
  using Visit = std::function<Result<void>(uint64_t tag, std::span<const std::byte> bytes)>;

  /// `window`: kIoAlignment-aligned, a multiple of it; must outlive the batch.
  ReadBatch(const OpenObject& open, std::span<std::byte> window) : open_(open), window_(window) {}
  ReadBatch(const ReadBatch&) = delete;
  ReadBatch& operator=(const ReadBatch&) = delete;

  /// The memory that a range of `bytes` takes at most.
  static uint64_t Need(uint64_t bytes);
  /// False if the range does not fit beside those that are there: Run() first. An empty batch takes
  /// what has Need() <= the window.
  bool Add(uint32_t object, ByteRange range, uint64_t tag);

  /// Reads all ranges, merged where they lie close together, then visits each. Empty afterwards.
  /// Errors: those of the store, with nothing left under way; those of `visit`.
  Result<void> Run(const Visit& visit);
  uint64_t requested_bytes() const { return requested_bytes_; }

 private:
  struct Part {
    uint32_t object = 0;
    ByteRange range;
    uint64_t tag = 0;
  };
  struct Request {
    size_t first = 0;  // of ranges_
    size_t count = 0;
    ByteRange range;
    std::span<std::byte> window;
    std::shared_ptr<ObjectReader> reader;
    IoFuture done;
  };
  std::vector<Request> Merge();
  Result<void> Read(std::vector<Request>& requests);

  const OpenObject& open_;
  const std::span<std::byte> window_;
  std::vector<Part> ranges_;
  uint64_t needed_bytes_ = 0;
  uint64_t requested_bytes_ = 0;
};

}  // namespace ckpt
