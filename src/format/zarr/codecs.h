#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "format/zarr/json_tree.h"
#include "format/zarr/meta.h"

/// The parts of the metadata that need words of their own. For format/zarr only.
namespace ckpt::zarr {

/// Errors of the metadata at a key: damaged, or of a form that is not read.
tl::unexpected<Error> Damaged(std::string_view key, std::string what);
tl::unexpected<Error> Unsupported(std::string_view key, std::string what);

/// The member of an object; kBadInput if it is not there.
Result<const JsonValue*> Need(const JsonValue& object, std::string_view key);

/// A list of extents, at most kZarrMaxRank.
Result<Shape> ReadShape(const JsonValue& object, std::string_view key);

/// {"id": "zstd", ...}. Refuses by name what is not read (blosc, bz2, ...).
Result<void> ReadV2Compressor(const JsonValue& value, ZarrCodecs& codecs);

/// The list of version 3: [bytes, zstd or gzip, crc32c], the latter two optional, or one
/// sharding_indexed. Sets meta.codecs or meta.sharding.
Result<void> ReadV3Codecs(const JsonValue& list, ZarrArrayMeta& meta);

}  // namespace ckpt::zarr
