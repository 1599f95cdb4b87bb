#include "format/zarr/chunk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/endian.h"
#include "format/compress/compress.h"
#include "format/zarr/dtypes.h"
#include "format/zarr/scatter.h"

namespace ckpt {
namespace {

constexpr uint64_t kIndexEntryBytes = 16;

tl::unexpected<Error> Damaged(std::string what) {
  return Fail(Code::kBadInput, std::move(what), "the checkpoint is damaged: fetch it again");
}

// The payload of a stored value with its CRC-32C checked and taken off; the value itself where it
// has none.
Result<std::span<const std::byte>> TakeCrc(bool has_crc32c, std::span<const std::byte> stored) {
  if (!has_crc32c) return stored;
  if (stored.size() < kChunkCrcBytes)
    return Damaged(fmt::format("truncated: a chunk of {} bytes has no checksum", stored.size()));
  const auto payload = stored.first(stored.size() - kChunkCrcBytes);
  CKPT_TRY_VOID(CheckCrcValue(Crc32c::Of(payload), stored.last(kChunkCrcBytes)));
  return payload;
}

// The low `bits` of each byte, with its sign.
void SignExtend(std::span<std::byte> elements, uint32_t bits) {
  const auto sign = static_cast<uint8_t>(1U << (bits - 1U));
  const auto mask = static_cast<uint8_t>((1U << bits) - 1U);
  for (std::byte& each : elements) {
    const uint8_t low = std::to_integer<uint8_t>(each) & mask;
    each = static_cast<std::byte>(static_cast<uint8_t>((low ^ sign) - sign));
  }
}

Result<void> DecodeShard(const ZarrArrayMeta& meta, std::span<const std::byte> stored,
                         std::span<std::byte> out, std::span<std::byte> scratch) {
  CKPT_TRY(const ByteRange at, ShardIndexRange(meta, stored.size()));
  CKPT_TRY(const ShardIndex index,
           ShardIndex::Open(meta, stored.subspan(at.begin, at.size()), stored.size()));
  const bool is_one = index.size() == 1;
  for (uint64_t number = 0; number < index.size(); ++number) {
    CKPT_TRY(const InnerChunk inner, index.At(number));
    const std::span<std::byte> elements = is_one ? out : scratch.first(ChunkScratchBytes(meta));
    if (inner.is_absent) {
      FillElements(meta, elements);
    } else {
      auto decoded =
          DecodeStored(meta.sharding->codecs, stored.subspan(inner.offset, inner.length), elements);
      if (!decoded)
        return std::move(decoded).map_error(
            Where("byte", fmt::format("{} of the shard (inner chunk {})", inner.offset, number)));
    }
    if (!is_one)
      zarr::PlaceInner(meta.chunk, meta.sharding->inner, number, ElementBytes(meta.dtype), elements,
                       out);
  }
  return {};
}

}  // namespace

Result<std::span<const std::byte>> PlainElements(const ZarrCodecs& codecs,
                                                 std::span<const std::byte> stored,
                                                 uint64_t bytes) {
  CKPT_TRY(const std::span<const std::byte> payload, TakeCrc(codecs.has_crc32c, stored));
  if (payload.size() == bytes) return payload;
  return Damaged(fmt::format("a chunk has {} bytes of elements, not {}", payload.size(), bytes));
}

Result<void> CheckCrcValue(const Crc32c& found, std::span<const std::byte> trailer) {
  const auto said = static_cast<uint32_t>(FromLittleEndian(trailer));
  if (said == found.value()) return {};
  return Damaged(fmt::format("a chunk's checksum (CRC-32C) is {:08x}, its bytes have {:08x}", said,
                             found.value()));
}

Result<void> DecodeStored(const ZarrCodecs& codecs, std::span<const std::byte> stored,
                          std::span<std::byte> out) {
  if (codecs.compression != Compression::kNone) {
    CKPT_TRY(const std::span<const std::byte> payload, TakeCrc(codecs.has_crc32c, stored));
    return Decompress(codecs.compression, payload, out);
  }
  CKPT_TRY(const std::span<const std::byte> elements, PlainElements(codecs, stored, out.size()));
  if (!out.empty()) std::memcpy(out.data(), elements.data(), out.size());
  return {};
}

void FinishElements(const ZarrArrayMeta& meta, std::span<std::byte> elements) {
  if (meta.element_codecs().is_big_endian) {
    const uint32_t swap_bytes = zarr::SwapBytes(meta.dtype);
    for (; !elements.empty(); elements = elements.subspan(swap_bytes))
      std::reverse(elements.begin(), elements.begin() + swap_bytes);
    return;
  }
  if (meta.dtype == DType::kI4) SignExtend(elements, 4);
  if (meta.dtype == DType::kI2) SignExtend(elements, 2);
}

void FillElements(const ZarrArrayMeta& meta, std::span<std::byte> elements) {
  if (meta.fill.empty()) {
    std::fill(elements.begin(), elements.end(), std::byte{0});
    return;
  }
  // The fill value is kept little endian: turned here, it is turned back with the other elements.
  std::string fill = meta.fill;
  if (meta.element_codecs().is_big_endian) {
    const uint32_t swap_bytes = zarr::SwapBytes(meta.dtype);
    for (size_t at = 0; at < fill.size(); at += swap_bytes)
      std::reverse(fill.begin() + static_cast<std::ptrdiff_t>(at),
                   fill.begin() + static_cast<std::ptrdiff_t>(at + swap_bytes));
  }
  for (size_t at = 0; at < elements.size(); at += fill.size())
    std::memcpy(elements.data() + at, fill.data(), fill.size());
}

uint64_t ChunkScratchBytes(const ZarrArrayMeta& meta) {
  return meta.sharding && meta.sharding->inner != meta.chunk ? ZarrInnerBytes(meta) : 0;
}

Result<void> DecodeChunkAsStored(const ZarrArrayMeta& meta, std::span<const std::byte> stored,
                                 std::span<std::byte> out, std::span<std::byte> scratch) {
  CKPT_CHECK(out.size() == ZarrChunkBytes(meta) && scratch.size() >= ChunkScratchBytes(meta));
  return meta.sharding ? DecodeShard(meta, stored, out, scratch)
                       : DecodeStored(meta.codecs, stored, out);
}

Result<void> DecodeChunk(const ZarrArrayMeta& meta, std::span<const std::byte> stored,
                         std::span<std::byte> out, std::span<std::byte> scratch) {
  CKPT_TRY_VOID(DecodeChunkAsStored(meta, stored, out, scratch));
  FinishElements(meta, out);
  return {};
}

Shape InnerGrid(const ZarrArrayMeta& meta) {
  Shape grid;
  for (size_t axis = 0; axis < meta.chunk.rank(); ++axis)
    grid.extents.push_back(meta.chunk[axis] / meta.sharding->inner[axis]);
  return grid;
}

Result<ByteRange> ShardIndexRange(const ZarrArrayMeta& meta, uint64_t stored_bytes) {
  const uint64_t index_bytes = kIndexEntryBytes * *InnerGrid(meta).Elements() +
                               (meta.sharding->index_has_crc32c ? kChunkCrcBytes : 0);
  if (index_bytes > stored_bytes)
    return Damaged(fmt::format("truncated: a shard of {} bytes has no room for its index of {}",
                               stored_bytes, index_bytes));
  return meta.sharding->index_is_at_end ? ByteRange{stored_bytes - index_bytes, stored_bytes}
                                        : ByteRange{0, index_bytes};
}

Result<ShardIndex> ShardIndex::Open(const ZarrArrayMeta& meta, std::span<const std::byte> index,
                                    uint64_t stored_bytes) {
  auto payload = TakeCrc(meta.sharding->index_has_crc32c, index);
  if (!payload) return Damaged("shard index: " + payload.error().what);
  ShardIndex opened;
  opened.entries_ = *payload;
  opened.stored_bytes_ = stored_bytes;
  return opened;
}

uint64_t ShardIndex::size() const { return entries_.size() / kIndexEntryBytes; }

Result<InnerChunk> ShardIndex::At(uint64_t number) const {
  const auto entry = entries_.subspan(number * kIndexEntryBytes, kIndexEntryBytes);
  InnerChunk chunk;
  chunk.offset = FromLittleEndian(entry.first(kIndexEntryBytes / 2));
  chunk.length = FromLittleEndian(entry.last(kIndexEntryBytes / 2));
  chunk.is_absent = chunk.offset == UINT64_MAX && chunk.length == UINT64_MAX;
  if (chunk.is_absent) return chunk;
  if (chunk.offset > stored_bytes_ || chunk.length > stored_bytes_ - chunk.offset)
    return Damaged(fmt::format("shard index: inner chunk {} has {} bytes at byte {} of {}", number,
                               chunk.length, chunk.offset, stored_bytes_));
  return chunk;
}

uint64_t CompressedChunkBound(uint64_t chunk_bytes) { return ZstdBound(chunk_bytes); }

Result<uint64_t> CompressChunk(std::span<const std::byte> elements, int level,
                               std::span<std::byte> out) {
  return CompressZstd(elements, level, out);
}

}  // namespace ckpt
