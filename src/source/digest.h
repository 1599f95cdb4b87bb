#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// The most that one of a stream's two buffers takes.
inline constexpr uint64_t kStreamBytes = 8ULL << 20U;

/// Streams the bytes of a catalog's tensors, one tensor after the other. Keeps the object of the
/// last tensor open. Not thread-safe. Store, catalog and budget must outlive it.
class TensorStream {
 public:
  /// Called with the next bytes of the tensor: whole blocks of its dtype (whole elements of plain
  /// types; whole rows are not promised), in C order; valid during the call.
  using Visit = std::function<Result<void>(std::span<const std::byte> bytes)>;

  /// `buffer_bytes`: a multiple of kIoAlignment, at least three of it.
  TensorStream(Store& store, const Catalog& catalog, MemoryBudget& budget,
               uint64_t buffer_bytes = kStreamBytes)
      : store_(store), catalog_(catalog), budget_(budget), buffer_bytes_(buffer_bytes) {}

  /// All bytes of `tensor`. A contiguous one (IsContiguous, its elements as they count) passes
  /// through two buffers of at most buffer_bytes: one is read while the other is visited. Any other
  /// passes slab by slab, of buffer_bytes, or of a row of its chunks up to a quarter of the budget.
  /// Errors: those of the store and of `visit`, with tensor and file; kResources if the budget has
  /// no room.
  Result<void> ForEachChunk(const TensorEntry& tensor, const Visit& visit);

  /// SHA-256 of the tensor's bytes, 64 hexadecimal digits.
  Result<std::string> Sha256(const TensorEntry& tensor);

 private:
  Result<void> Stream(const TensorEntry& tensor, const Visit& visit);
  Result<void> StreamBoxes(const TensorEntry& tensor, const Visit& visit);
  Result<void> Open(uint32_t object);

  Store& store_;
  const Catalog& catalog_;
  MemoryBudget& budget_;
  const uint64_t buffer_bytes_;
  std::unique_ptr<ObjectReader> reader_;
  uint32_t open_object_ = 0;
};

/// SHA-256 of one tensor's C-order bytes. For many tensors use one TensorStream.
Result<std::string> TensorSha256(Store& store, const Catalog& catalog, const TensorEntry& tensor,
                                 MemoryBudget& budget);

}  // namespace ckpt
