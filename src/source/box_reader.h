#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "source/chunk_stream.h"
#include "source/read_batch.h"
#include "store/store.h"

namespace ckpt {

/// The least working memory of a BoxReader.
inline constexpr uint64_t kLeastBoxWindowBytes = 4ULL << 20U;

/// The working memory that a BoxReader takes for a tensor within a budget of `limit_bytes`: three
/// decoded chunks, so that reads overlap; less where that is more than half the budget, down to
/// kLeastBoxWindowBytes, where chunks pass as streams.
uint64_t BoxWindowBytes(const TensorEntry& tensor, uint64_t limit_bytes);

/// Reads boxes of any tensor, contiguous or chunked, as dense C-order elements of its dtype. Holds
/// one window of memory, of BoxWindowBytes of the tensors read so far, and nothing else but a
/// decompressor (zstd: at most 8 MiB, or half the window). Not thread-safe; one for each lane.
///
/// A compressed chunk larger than the window is decoded front to back: to its end for the first box
/// that this reader reads of it, so that it is checked before more of it is given out. For the
/// others its stream is kept open behind the last run of a box, and the next box goes on from there
/// if it begins no earlier in the same chunk and no other compressed chunk came between; else it
/// starts anew. Boxes in ascending order so decode a chunk twice, however many they are.
class BoxReader {
 public:
  /// `readers`: by Catalog::objects; must outlive this. The window is acquired from `budget` when
  /// it is needed, waiting for it, until `stop`.
  BoxReader(std::span<const std::unique_ptr<ObjectReader>> readers, MemoryBudget& budget,
            std::stop_token stop = {});
  /// Readers come from `open`, for catalogs of many objects (ReaderPool).
  BoxReader(OpenObject open, MemoryBudget& budget, std::stop_token stop = {});
  BoxReader(const BoxReader&) = delete;
  BoxReader& operator=(const BoxReader&) = delete;

  /// `box` lies within the tensor and `out` has its bytes (CKPT_CHECKed); for block types its
  /// borders are block borders. Only chunks that meet the box are fetched, close ones in one read.
  /// A chunk's checksums, its length and that nothing follows are checked whenever the whole chunk
  /// is read, and of a large compressed one before a box of it counts as read for the first time; a
  /// plain chunk that is larger than the window, and of which less than half is needed, is read in
  /// part and is not checked by this call (StoredCrc and the reading of all boxes do not replace
  /// each other there). Errors: kBadInput with file, byte and chunk key; kResources; those of the
  /// store.
  Result<void> Read(const TensorEntry& tensor, const Box& box, std::span<std::byte> out);

  /// CRC-32C of the bytes as they are stored. Chunked: all stored chunks one after the other in the
  /// order of their keys, which is bytewise: "c/0/10" comes before "c/0/2". Contiguous: the
  /// tensor's bytes (CKPT_CHECKs that it is one of the two). Memory besides the window: 64 bytes a
  /// chunk, granted.
  Result<Crc32c> StoredCrc(const TensorEntry& tensor);

  /// Bytes that were asked of the store so far.
  uint64_t requested_bytes() const { return requested_bytes_; }

 private:
  Result<void> TakeWindow(const TensorEntry& tensor);

  OpenObject open_;
  MemoryBudget& budget_;
  const std::stop_token stop_;
  Buffer window_;
  LargeChunks large_;  // nothing of it lies in the window
  uint64_t requested_bytes_ = 0;
};

}  // namespace ckpt
