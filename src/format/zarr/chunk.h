#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/byte_range.h"
#include "base/crc32c.h"
#include "base/result.h"
#include "format/zarr/meta.h"

namespace ckpt {

/// The bytes of zarr chunks (docs/formats/zarr.md). A chunk always has the full chunk shape; what
/// lies beyond the array's edge is padding without meaning.

inline constexpr uint64_t kChunkCrcBytes = 4;

/// Decodes one stored chunk into its elements: C order, little endian, out.size() ==
/// ZarrChunkBytes. int4 and int2 are sign-extended from their low bits. Checksums that the chunk
/// has are verified. `scratch` has ChunkScratchBytes; nothing else is allocated but a decompressor.
/// Errors: kBadInput; a damaged length, checksum, compressed stream or shard index.
Result<void> DecodeChunk(const ZarrArrayMeta& meta, std::span<const std::byte> stored,
                         std::span<std::byte> out, std::span<std::byte> scratch);
/// An inner chunk where sharding has several, else 0.
uint64_t ChunkScratchBytes(const ZarrArrayMeta& meta);

/// The steps of DecodeChunk, for readers that want less than a chunk.

/// All of it but the last step, FinishElements.
Result<void> DecodeChunkAsStored(const ZarrArrayMeta& meta, std::span<const std::byte> stored,
                                 std::span<std::byte> out, std::span<std::byte> scratch);
/// From stored to element bytes in stored order (no swap, no sign extension): of a chunk without
/// sharding, or of an inner chunk of a shard.
Result<void> DecodeStored(const ZarrCodecs& codecs, std::span<const std::byte> stored,
                          std::span<std::byte> out);
/// The same where nothing is compressed: the `bytes` of elements inside the stored bytes, their
/// CRC-32C checked and taken off.
Result<std::span<const std::byte>> PlainElements(const ZarrCodecs& codecs,
                                                 std::span<const std::byte> stored, uint64_t bytes);
/// The check of a chunk's CRC-32C where that was made on the way.
Result<void> CheckCrcValue(const Crc32c& found, std::span<const std::byte> trailer);
/// Makes element bytes in stored order what DecodeChunk gives. Any number of whole elements.
void FinishElements(const ZarrArrayMeta& meta, std::span<std::byte> elements);
/// Fills with the fill value, in stored order. Any number of whole elements.
void FillElements(const ZarrArrayMeta& meta, std::span<std::byte> elements);

/// Where an inner chunk lies in its shard's stored bytes.
struct InnerChunk {
  uint64_t offset = 0;
  uint64_t length = 0;
  bool is_absent = false;  ///< all of it is the fill value
};
/// Inner chunks along each axis of a chunk; of an array with sharding.
Shape InnerGrid(const ZarrArrayMeta& meta);
/// Where the index lies in a shard of `stored_bytes`. kBadInput if that is too short.
Result<ByteRange> ShardIndexRange(const ZarrArrayMeta& meta, uint64_t stored_bytes);
/// The entries of an index whose checksum, where it has one, is right. `index` must outlive it.
class ShardIndex {
 public:
  static Result<ShardIndex> Open(const ZarrArrayMeta& meta, std::span<const std::byte> index,
                                 uint64_t stored_bytes);
  uint64_t size() const;
  /// The entry of inner chunk `number` (C order of InnerGrid). kBadInput if it leaves the shard.
  Result<InnerChunk> At(uint64_t number) const;

 private:
  std::span<const std::byte> entries_;
  uint64_t stored_bytes_ = 0;
};

/// The writer's side: a chunk as one zstd frame with a content checksum (its size; `out` has
/// CompressedChunkBound bytes).
uint64_t CompressedChunkBound(uint64_t chunk_bytes);
Result<uint64_t> CompressChunk(std::span<const std::byte> elements, int level,
                               std::span<std::byte> out);

}  // namespace ckpt
