#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <tuple>

#include "base/crc32c.h"
#include "base/result.h"
#include "format/compress/decompressor.h"
#include "format/zarr/chunk.h"
#include "source/box_runs.h"
#include "source/catalog.h"
#include "source/read_batch.h"

namespace ckpt {

/// Reads that need less memory than what they pass over. For box_reader.cc and chunk_reader.cc.

/// The runs of a source whose first element lies at `offset` of an object; many reads at once.
/// Gives the bytes that were asked of the store.
Result<uint64_t> ReadRuns(const OpenObject& open, std::span<std::byte> window, uint32_t object,
                          uint64_t offset, const BoxRuns& runs, std::span<std::byte> out);

/// One stored chunk (or inner chunk) on its way from its first byte to its last, through its
/// decompressor and its checksums. A box takes its runs and leaves a compressed chunk right behind
/// the last of them; from there another box goes on. In between the stream holds a decompressor and
/// how far it came, and nothing of anybody's window: what was fetched in vain is fetched again.
class ChunkStream {
 public:
  /// `place`: of a chunk of `tensor` that decodes to `element_bytes`. `window_bytes`: of the window
  /// it is read in first; zstd frames that look back farther than half of it, or than 8 MiB where
  /// that is more, are refused. Errors: kResources.
  static Result<ChunkStream> Open(std::shared_ptr<const ChunkedTensor> tensor,
                                  const StoredChunk& place, uint64_t element_bytes,
                                  uint64_t window_bytes);

  /// Whether it is of this very chunk, and not yet beyond the first of the runs.
  bool IsBefore(const ChunkedTensor& tensor, const StoredChunk& place, const BoxRuns& runs) const;

  /// Takes the runs, through `window`. `to_end`: all of the chunk passes, and with it everything is
  /// checked: its length, its checksums, that nothing follows. A plain chunk must be read so. After
  /// an error, and once it is at its end, the stream is of no use any more. Errors: kBadInput as
  /// DecodeStored; those of the store.
  Result<void> Read(const OpenObject& open, std::span<std::byte> window, const BoxRuns& runs,
                    bool to_end, std::span<std::byte> out);

  /// Bytes that were asked of the store so far.
  uint64_t requested_bytes() const { return requested_bytes_; }

 private:
  struct Turn;  // one Read()

  ChunkStream(std::shared_ptr<const ChunkedTensor> tensor, const StoredChunk& place,
              uint64_t element_bytes);
  const ZarrCodecs& codecs() const { return tensor_->meta.element_codecs(); }
  bool IsOver(const Turn& turn) const;
  uint64_t NextBytes(const Turn& turn, uint64_t most_bytes) const;
  Result<void> Take(std::span<const std::byte> stored, Turn& turn);
  Result<void> Unpack(std::span<const std::byte>& stored, Turn& turn);
  Result<void> Give(std::span<const std::byte> elements, Turn& turn);
  Result<void> CheckEnd() const;

  // Shared: another tensor must not come to lie where this one was, and be taken for it.
  std::shared_ptr<const ChunkedTensor> tensor_;
  StoredChunk place_;
  uint64_t payload_bytes_ = 0;  // stored, without the checksum at the end
  uint64_t element_bytes_ = 0;
  std::optional<Decompressor> decompressor_;
  bool is_decoded_ = false;
  uint64_t taken_bytes_ = 0;  // stored
  uint64_t given_bytes_ = 0;  // of elements
  Crc32c crc_;
  std::array<std::byte, kChunkCrcBytes> trailer_{};
  size_t trailer_bytes_ = 0;
  uint64_t requested_bytes_ = 0;
};

/// What a reader keeps of large compressed chunks from box to box.
struct LargeChunks {
  /// Of a tensor: the object, the offset and the length of one of its chunks. The tensor is shared,
  /// as another must not come to lie where it was, and be taken for it.
  using Name = std::tuple<std::shared_ptr<const ChunkedTensor>, uint32_t, uint64_t, uint64_t>;

  std::optional<ChunkStream> stream;  ///< of the last one; at most one has a decompressor
  std::set<Name> checked;             ///< were read to their end, and are whole
};

}  // namespace ckpt
