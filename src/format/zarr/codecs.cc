#include "format/zarr/codecs.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"

namespace ckpt::zarr {
namespace {

constexpr int kMostLevel = 22;

// The order in which codecs may follow each other.
enum class Stage : uint8_t { kBytes, kCompression, kChecksum };

int ReadLevel(const JsonValue* configuration) {
  const JsonValue* const level = FindIn(configuration, "level");
  if (level == nullptr || level->kind != json::Kind::kUnsigned ||
      level->unsigned_value > static_cast<uint64_t>(kMostLevel))
    return 1;  // says nothing to a reader
  return static_cast<int>(level->unsigned_value);
}

Result<void> ReadByteOrder(const JsonValue* configuration, uint32_t element_bytes,
                           ZarrCodecs& codecs) {
  const JsonValue* const endian = FindIn(configuration, "endian");
  if (endian == nullptr) {
    if (element_bytes == 1) return {};
    return Damaged("codecs", "the codec \"bytes\" says no byte order");
  }
  if (endian->text != "little" && endian->text != "big")
    return Damaged("codecs", fmt::format("the byte order \"{}\" is neither little nor big",
                                         Excerpt(endian->text)));
  codecs.is_big_endian = endian->text == "big" && element_bytes > 1;
  return {};
}

Result<std::string> CodecName(const JsonValue& codec) {
  const JsonValue* const name = codec.is_string() ? &codec : codec.Find("name");
  if (name == nullptr || !name->is_string()) return Damaged("codecs", "a codec without a name");
  return name->text;
}

// A list without sharding.
Result<ZarrCodecs> ReadChain(const JsonValue& list, uint32_t element_bytes) {
  ZarrCodecs codecs;
  codecs.has_content_checksum = false;
  Stage next = Stage::kBytes;
  if (!list.is_array() || list.members.empty()) return Damaged("codecs", "no list of codecs");
  for (const JsonValue& codec : list.members) {
    CKPT_TRY(const std::string name, CodecName(codec));
    const JsonValue* const configuration = codec.Find("configuration");
    if (name == "bytes" && next == Stage::kBytes) {
      CKPT_TRY_VOID(ReadByteOrder(configuration, element_bytes, codecs));
      next = Stage::kCompression;
    } else if ((name == "zstd" || name == "gzip") && next == Stage::kCompression) {
      codecs.compression = name == "zstd" ? Compression::kZstd : Compression::kGzip;
      codecs.level = ReadLevel(configuration);
      const JsonValue* const checksum = FindIn(configuration, "checksum");
      codecs.has_content_checksum = name == "zstd" && checksum != nullptr && checksum->is_true;
      next = Stage::kChecksum;
    } else if (name == "crc32c" && next != Stage::kBytes && !codecs.has_crc32c) {
      codecs.has_crc32c = true;
      next = Stage::kChecksum;
    } else {
      return Unsupported("codecs", fmt::format("the codec \"{}\" is not read at this place: read "
                                               "are bytes, then zstd or gzip, then crc32c",
                                               Excerpt(name)));
    }
  }
  if (next == Stage::kBytes) return Damaged("codecs", "no codec \"bytes\"");
  return codecs;
}

Result<ZarrSharding> ReadSharding(const JsonValue& codec, uint32_t element_bytes) {
  ZarrSharding sharding;
  CKPT_TRY(const JsonValue* const configuration, Need(codec, "configuration"));
  CKPT_TRY(sharding.inner, ReadShape(*configuration, "chunk_shape"));
  CKPT_TRY(const JsonValue* const inner, Need(*configuration, "codecs"));
  CKPT_TRY(sharding.codecs, ReadChain(*inner, element_bytes));
  CKPT_TRY(const JsonValue* const index, Need(*configuration, "index_codecs"));
  CKPT_TRY(const ZarrCodecs index_codecs, ReadChain(*index, sizeof(uint64_t)));
  if (index_codecs.compression != Compression::kNone || index_codecs.is_big_endian)
    return Unsupported("index_codecs", "a compressed or big-endian shard index");
  sharding.index_has_crc32c = index_codecs.has_crc32c;
  if (const JsonValue* const location = configuration->Find("index_location")) {
    if (location->text != "end" && location->text != "start")
      return Damaged("index_location", R"(neither "end" nor "start")");
    sharding.index_is_at_end = location->text == "end";
  }
  return sharding;
}

}  // namespace

tl::unexpected<Error> Damaged(std::string_view key, std::string what) {
  return Fail(Error{Code::kBadInput,
                    std::move(what),
                    {},
                    {{"key", std::string(key)}},
                    "the array's metadata is damaged: fetch the checkpoint again"});
}

tl::unexpected<Error> Unsupported(std::string_view key, std::string what) {
  return Fail(Error{Code::kBadInput,
                    std::move(what),
                    {},
                    {{"key", std::string(key)}},
                    "save the checkpoint again with orbax's default settings"});
}

Result<const JsonValue*> Need(const JsonValue& object, std::string_view key) {
  const JsonValue* const value = object.Find(key);
  if (value == nullptr) return Damaged(key, fmt::format("\"{}\" is missing", key));
  return value;
}

Result<Shape> ReadShape(const JsonValue& object, std::string_view key) {
  CKPT_TRY(const JsonValue* const list, Need(object, key));
  if (!list->is_array()) return Damaged(key, "no list of extents");
  if (list->members.size() > kZarrMaxRank)
    return Damaged(key,
                   fmt::format("rank {}, at most {} is read", list->members.size(), kZarrMaxRank));
  Shape shape;
  for (const JsonValue& extent : list->members) {
    if (extent.kind != json::Kind::kUnsigned)
      return Damaged(key, "an extent that is no unsigned integer");
    shape.extents.push_back(extent.unsigned_value);
  }
  return shape;
}

Result<void> ReadV2Compressor(const JsonValue& value, ZarrCodecs& codecs) {
  CKPT_TRY(const JsonValue* const id, Need(value, "id"));
  if (id->text == "zstd")
    codecs.compression = Compression::kZstd;
  else if (id->text == "zlib")
    codecs.compression = Compression::kZlib;
  else if (id->text == "gzip")
    codecs.compression = Compression::kGzip;
  else
    return Unsupported("compressor", fmt::format("the compressor \"{}\" is not read: read are "
                                                 "zstd, zlib and gzip",
                                                 Excerpt(id->text)));
  codecs.level = ReadLevel(&value);
  return {};
}

Result<void> ReadV3Codecs(const JsonValue& list, ZarrArrayMeta& meta) {
  const uint32_t element_bytes = ElementBytes(meta.dtype);
  if (list.is_array() && list.members.size() == 1) {
    const JsonValue& only = list.members[0];
    CKPT_TRY(const std::string name, CodecName(only));
    if (name == "sharding_indexed") {
      CKPT_TRY(meta.sharding, ReadSharding(only, element_bytes));
      return {};
    }
  }
  CKPT_TRY(meta.codecs, ReadChain(list, element_bytes));
  return {};
}

}  // namespace ckpt::zarr
