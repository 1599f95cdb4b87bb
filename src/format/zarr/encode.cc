#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "format/zarr/meta.h"

namespace ckpt {
namespace {

// TensorStore gives one-byte types no byte order in version 3, and refuses to read one.
std::string BytesCodec(DType dtype, bool is_big_endian) {
  if (ElementBytes(dtype) == 1) return R"({"name":"bytes"})";
  return fmt::format(R"({{"configuration":{{"endian":"{}"}},"name":"bytes"}})",
                     is_big_endian ? "big" : "little");
}

std::string V3Codecs(DType dtype, const ZarrCodecs& codecs) {
  std::string text = BytesCodec(dtype, codecs.is_big_endian);
  if (codecs.compression == Compression::kZstd)
    text += fmt::format(R"(,{{"configuration":{{"checksum":{},"level":{}}},"name":"zstd"}})",
                        codecs.has_content_checksum, codecs.level);
  if (codecs.compression == Compression::kGzip)
    text += fmt::format(R"(,{{"configuration":{{"level":{}}},"name":"gzip"}})", codecs.level);
  if (codecs.has_crc32c) text += R"(,{"name":"crc32c"})";
  return text;
}

std::string Sharding(DType dtype, const ZarrSharding& sharding) {
  return fmt::format(
      R"({{"configuration":{{"chunk_shape":[{}],"codecs":[{}],"index_codecs":[{}{}]{}}},)"
      R"("name":"sharding_indexed"}})",
      fmt::join(sharding.inner.extents, ","), V3Codecs(dtype, sharding.codecs),
      BytesCodec(DType::kU64, false), sharding.index_has_crc32c ? R"(,{"name":"crc32c"})" : "",
      sharding.index_is_at_end ? "" : R"(,"index_location":"start")");
}

std::string V3Keys(const ZarrArrayMeta& meta) {
  if (meta.has_prefix && meta.separator == '/') return R"({"name":"default"})";
  return fmt::format(R"({{"configuration":{{"separator":"{}"}},"name":"{}"}})", meta.separator,
                     meta.has_prefix ? "default" : "v2");
}

std::string_view V3Fill(DType dtype) {
  if (dtype == DType::kC64) return "[0.0,0.0]";
  if (dtype == DType::kBool) return "false";
  return Info(dtype).is_float ? "0.0" : "0";
}

std::string V2Compressor(const ZarrCodecs& codecs) {
  switch (codecs.compression) {
    case Compression::kNone:
      return "null";
    case Compression::kZstd:
      return fmt::format(R"({{"id":"zstd","level":{}}})", codecs.level);
    case Compression::kZlib:
      return fmt::format(R"({{"id":"zlib","level":{}}})", codecs.level);
    case Compression::kGzip:
      return fmt::format(R"({{"id":"gzip","level":{}}})", codecs.level);
    case Compression::kDeflate:
      break;  // no codec of zarr
  }
  CKPT_UNREACHABLE("all compressions are listed");
}

std::string V2DType(const ZarrArrayMeta& meta) {
  std::string name(*ZarrDTypeName(ZarrForm::kV2, meta.dtype));
  if (meta.codecs.is_big_endian) {
    CKPT_CHECK(name[0] == '<');
    name[0] = '>';
  }
  return name;
}

}  // namespace

ZarrArrayMeta MakeZarrMeta(ZarrForm form, DType dtype, Shape shape, Shape chunk) {
  ZarrArrayMeta meta;
  meta.form = form;
  meta.dtype = dtype;
  meta.shape = std::move(shape);
  meta.chunk = std::move(chunk);
  if (form == ZarrForm::kV2) {
    meta.separator = '.';
    meta.has_prefix = false;
  }
  return meta;
}

std::string EncodeZarrMeta(const ZarrArrayMeta& meta) {
  const auto dtype_name = ZarrDTypeName(meta.form, meta.dtype);
  CKPT_CHECK(dtype_name && meta.chunk.rank() == meta.shape.rank());
  CKPT_CHECK(std::all_of(meta.fill.begin(), meta.fill.end(), [](char c) { return c == 0; }));
  const std::string chunk = fmt::format("{}", fmt::join(meta.chunk.extents, ","));
  const std::string shape = fmt::format("{}", fmt::join(meta.shape.extents, ","));
  if (meta.form == ZarrForm::kV2) {
    CKPT_CHECK(!meta.codecs.has_crc32c && !meta.sharding && !meta.has_prefix);
    return fmt::format(
        R"({{"chunks":[{}],"compressor":{},"dimension_separator":"{}","dtype":"{}",)"
        R"("fill_value":null,"filters":null,"order":"C","shape":[{}],"zarr_format":2}})",
        chunk, V2Compressor(meta.codecs), meta.separator, V2DType(meta), shape);
  }
  CKPT_CHECK(meta.codecs.compression != Compression::kZlib);
  return fmt::format(
      R"({{"chunk_grid":{{"configuration":{{"chunk_shape":[{}]}},"name":"regular"}},)"
      R"("chunk_key_encoding":{},"codecs":[{}],"data_type":"{}","fill_value":{},)"
      R"("node_type":"array","shape":[{}],"zarr_format":3}})",
      chunk, V3Keys(meta),
      meta.sharding ? Sharding(meta.dtype, *meta.sharding) : V3Codecs(meta.dtype, meta.codecs),
      *dtype_name, V3Fill(meta.dtype), shape);
}

}  // namespace ckpt
