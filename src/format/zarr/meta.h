#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/result.h"
#include "base/shape.h"
#include "format/compress/decompressor.h"

namespace ckpt {

/// A zarr array's metadata, version 2 (".zarray") or 3 ("zarr.json"), in the forms that Orbax
/// writes and a little more (docs/formats/zarr.md). Origin: zarr-developers/zarr-specs, docs/v2 and
/// docs/v3; google/tensorstore, tensorstore/driver/zarr and zarr3.

/// Bounds of our own on what a file may ask of us.
inline constexpr uint64_t kZarrMaxMetaBytes = 1ULL << 20U;
inline constexpr uint64_t kZarrMaxRank = 32;
inline constexpr uint64_t kZarrMaxArrayBytes = 16ULL << 40U;
inline constexpr uint64_t kZarrMaxChunkBytes = 8ULL << 30U;
inline constexpr uint64_t kZarrMaxChunks = 100'000'000;

inline constexpr std::string_view kZarrV2Name = ".zarray";
inline constexpr std::string_view kZarrV3Name = "zarr.json";

enum class ZarrForm : uint8_t { kV2, kV3 };

/// From the elements of a chunk to its stored bytes, in this order: byte order, compression,
/// checksum.
struct ZarrCodecs {
  bool is_big_endian = false;
  Compression compression = Compression::kNone;
  int level = 1;                     ///< says nothing to a reader
  bool has_content_checksum = true;  ///< zstd in version 3: what the metadata says of the frames
  bool has_crc32c = false;           ///< 4 bytes at the end, version 3 only
  bool operator==(const ZarrCodecs&) const = default;
};

/// A chunk that is itself a grid of inner chunks with an index (sharding_indexed).
struct ZarrSharding {
  Shape inner;  ///< divides the chunk
  ZarrCodecs codecs;
  bool index_has_crc32c = true;
  bool index_is_at_end = true;
  bool operator==(const ZarrSharding&) const = default;
};

/// The codecs of the chunks are `sharding` where there is one, else `codecs`. Order is C.
struct ZarrArrayMeta {
  ZarrForm form = ZarrForm::kV3;
  DType dtype = DType::kBF16;
  Shape shape;
  Shape chunk;  ///< same rank, no extent 0
  ZarrCodecs codecs;
  std::optional<ZarrSharding> sharding;
  char separator = '/';    ///< between the numbers of a chunk's key
  bool has_prefix = true;  ///< keys begin with "c" and a separator; always in version 3's default
  std::string fill;        ///< bytes of one element, little endian; empty: zeros
  /// What the elements themselves pass through: the codecs of inner chunks where there are any.
  const ZarrCodecs& element_codecs() const { return sharding ? sharding->codecs : codecs; }
  bool operator==(const ZarrArrayMeta&) const = default;
};

/// The form of version 2 or 3 that orbax itself uses, to be filled in: keys "0.1" or "c/0/1".
ZarrArrayMeta MakeZarrMeta(ZarrForm form, DType dtype, Shape shape, Shape chunk);

/// Compact JSON with sorted keys, as TensorStore writes it; the fill value is zero (CKPT_CHECKed).
/// CKPT_CHECKs that the dtype has a name in zarr, and that version 2 has no version 3 codec.
std::string EncodeZarrMeta(const ZarrArrayMeta& meta);

/// Errors: kBadInput with the byte or key, naming the codec, dtype, order or filter that is not
/// supported; limits as above.
Result<ZarrArrayMeta> DecodeZarrMeta(ZarrForm form, std::string_view json);

/// "bfloat16"; nothing where zarr has no such type. `form` matters: "<f4" or "float32".
std::optional<std::string_view> ZarrDTypeName(ZarrForm form, DType dtype);

/// Bytes of one decoded chunk (whole, at edges too), and of one inner chunk of an array with
/// sharding. Of checked metadata.
uint64_t ZarrChunkBytes(const ZarrArrayMeta& meta);
uint64_t ZarrInnerBytes(const ZarrArrayMeta& meta);
/// Chunks along each axis; 0 for an extent of 0.
Shape ZarrGrid(const ZarrArrayMeta& meta);

/// The key of chunk `number` (C order of the grid) below the array's name: "0.1", "c/0/1"; of rank
/// 0 "0", "c".
std::string ZarrChunkKey(const ZarrArrayMeta& meta, uint64_t number);
/// The number of the chunk with this key; nothing for what is no key of the grid.
std::optional<uint64_t> ZarrChunkNumber(const ZarrArrayMeta& meta, std::string_view key);

}  // namespace ckpt
