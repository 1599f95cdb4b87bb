#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "base/text.h"
#include "base/units.h"
#include "format/zarr/codecs.h"
#include "format/zarr/dtypes.h"
#include "format/zarr/fill.h"
#include "format/zarr/json_tree.h"
#include "format/zarr/meta.h"

namespace ckpt {
namespace {

using zarr::Damaged;
using zarr::JsonValue;
using zarr::Need;
using zarr::Unsupported;

// The member, which must say one thing.
Result<void> Expect(const JsonValue& object, std::string_view key, std::string_view text) {
  CKPT_TRY(const JsonValue* const value, Need(object, key));
  if (value->is_string() && value->text == text) return {};
  return Unsupported(key, fmt::format(R"("{}" is not "{}")", key, text));
}

Result<DType> ReadDType(ZarrForm form, std::string_view key, const JsonValue& value,
                        ZarrCodecs& codecs) {
  if (!value.is_string())
    return Unsupported(key, "a structured dtype: only plain numbers are read");
  const auto parsed = zarr::ParseDType(form, value.text);
  if (!parsed)
    return Unsupported(key, fmt::format("the dtype \"{}\" is unknown", Excerpt(value.text)));
  codecs.is_big_endian = parsed->is_big_endian;
  return parsed->dtype;
}

Result<void> ReadV2(const JsonValue& root, ZarrArrayMeta& meta) {
  CKPT_TRY(const JsonValue* const dtype, Need(root, "dtype"));
  CKPT_TRY(meta.dtype, ReadDType(meta.form, "dtype", *dtype, meta.codecs));
  CKPT_TRY(meta.shape, zarr::ReadShape(root, "shape"));
  CKPT_TRY(meta.chunk, zarr::ReadShape(root, "chunks"));
  CKPT_TRY(const JsonValue* const order, Need(root, "order"));
  if (order->text != "C")
    return Unsupported("order", fmt::format(R"(elements in the order "{}": only "C" is read)",
                                            Excerpt(order->text)));
  const JsonValue* const filters = root.Find("filters");
  if (filters != nullptr && !filters->is_null() &&
      !(filters->is_array() && filters->members.empty()))
    return Unsupported("filters", "filters are not read");
  if (const JsonValue* const separator = root.Find("dimension_separator")) {
    if (separator->text != "." && separator->text != "/")
      return Damaged("dimension_separator", R"(neither "." nor "/")");
    meta.separator = separator->text[0];
  }
  CKPT_TRY(const JsonValue* const compressor, Need(root, "compressor"));
  if (!compressor->is_null()) CKPT_TRY_VOID(zarr::ReadV2Compressor(*compressor, meta.codecs));
  return {};
}

Result<void> ReadV3Keys(const JsonValue& root, ZarrArrayMeta& meta) {
  CKPT_TRY(const JsonValue* const encoding, Need(root, "chunk_key_encoding"));
  CKPT_TRY(const JsonValue* const name, Need(*encoding, "name"));
  meta.has_prefix = name->text == "default";
  if (!meta.has_prefix && name->text != "v2")
    return Unsupported("chunk_key_encoding",
                       fmt::format("the encoding \"{}\" is unknown", Excerpt(name->text)));
  meta.separator = meta.has_prefix ? '/' : '.';
  const JsonValue* const separator = zarr::FindIn(encoding->Find("configuration"), "separator");
  if (separator == nullptr) return {};
  if (separator->text != "." && separator->text != "/")
    return Damaged("chunk_key_encoding", R"(a separator that is neither "." nor "/")");
  meta.separator = separator->text[0];
  return {};
}

Result<void> ReadV3(const JsonValue& root, ZarrArrayMeta& meta) {
  CKPT_TRY_VOID(Expect(root, "node_type", "array"));
  CKPT_TRY(const JsonValue* const dtype, Need(root, "data_type"));
  CKPT_TRY(meta.dtype, ReadDType(meta.form, "data_type", *dtype, meta.codecs));
  CKPT_TRY(meta.shape, zarr::ReadShape(root, "shape"));
  CKPT_TRY(const JsonValue* const grid, Need(root, "chunk_grid"));
  CKPT_TRY_VOID(Expect(*grid, "name", "regular"));
  CKPT_TRY(const JsonValue* const configuration, Need(*grid, "configuration"));
  CKPT_TRY(meta.chunk, zarr::ReadShape(*configuration, "chunk_shape"));
  CKPT_TRY_VOID(ReadV3Keys(root, meta));
  const JsonValue* const transformers = root.Find("storage_transformers");
  if (transformers != nullptr && !transformers->is_null() && !transformers->members.empty())
    return Unsupported("storage_transformers", "storage transformers are not read");
  CKPT_TRY(const JsonValue* const codecs, Need(root, "codecs"));
  return zarr::ReadV3Codecs(*codecs, meta);
}

Result<void> CheckSizes(const ZarrArrayMeta& meta) {
  if (meta.chunk.rank() != meta.shape.rank())
    return Damaged("shape", fmt::format("a shape of rank {} and chunks of rank {}",
                                        meta.shape.rank(), meta.chunk.rank()));
  if (std::count(meta.chunk.extents.begin(), meta.chunk.extents.end(), 0U) != 0)
    return Damaged("chunk_shape", "a chunk of extent 0");
  const auto array_bytes = TensorBytes(meta.dtype, meta.shape);
  if (!array_bytes || *array_bytes > kZarrMaxArrayBytes)
    return Damaged("shape", fmt::format("the shape {} takes more than {}", ToString(meta.shape),
                                        FormatMemory(kZarrMaxArrayBytes)));
  const auto chunk_bytes = TensorBytes(meta.dtype, meta.chunk);
  if (!chunk_bytes || *chunk_bytes > kZarrMaxChunkBytes)
    return Damaged("chunk_shape",
                   fmt::format("chunks of {} take more than {} each", ToString(meta.chunk),
                               FormatMemory(kZarrMaxChunkBytes)));
  const auto chunks = ZarrGrid(meta).Elements();
  if (!chunks || *chunks > kZarrMaxChunks)
    return Damaged("chunk_shape", fmt::format("more than {} chunks", kZarrMaxChunks));
  if (!meta.sharding) return {};
  const Shape& inner = meta.sharding->inner;
  bool is_divisor = inner.rank() == meta.chunk.rank();
  uint64_t inner_chunks = 1;
  for (size_t axis = 0; is_divisor && axis < inner.rank(); ++axis) {
    is_divisor = inner[axis] != 0 && meta.chunk[axis] % inner[axis] == 0;
    if (is_divisor) inner_chunks *= meta.chunk[axis] / inner[axis];  // at most the chunk's elements
  }
  if (!is_divisor)
    return Damaged("codecs", fmt::format("inner chunks of {} do not divide chunks of {}",
                                         ToString(inner), ToString(meta.chunk)));
  if (inner_chunks > kZarrMaxChunks)
    return Damaged("codecs", fmt::format("more than {} inner chunks", kZarrMaxChunks));
  return {};
}

}  // namespace

Result<ZarrArrayMeta> DecodeZarrMeta(ZarrForm form, std::string_view json) {
  if (json.size() > kZarrMaxMetaBytes)
    return Fail(Code::kBadInput,
                fmt::format("the array's metadata has {} bytes, at most {} are read", json.size(),
                            kZarrMaxMetaBytes),
                "the checkpoint is damaged: fetch it again");
  CKPT_TRY(const JsonValue root, zarr::ReadJsonTree(json));
  if (!root.is_object())
    return Fail(Code::kBadInput, "the array's metadata is no JSON object",
                "the checkpoint is damaged: fetch it again");
  CKPT_TRY(const JsonValue* const format, Need(root, "zarr_format"));
  const uint64_t number = form == ZarrForm::kV2 ? 2 : 3;
  if (format->kind != json::Kind::kUnsigned || format->unsigned_value != number)
    return Unsupported("zarr_format", fmt::format("zarr_format is not {}", number));
  ZarrArrayMeta meta = MakeZarrMeta(form, DType::kBF16, {}, {});
  CKPT_TRY_VOID(form == ZarrForm::kV2 ? ReadV2(root, meta) : ReadV3(root, meta));
  CKPT_TRY_VOID(CheckSizes(meta));
  CKPT_TRY(const JsonValue* const fill, Need(root, "fill_value"));
  CKPT_TRY(meta.fill, zarr::ParseFill(meta.dtype, *fill).map_error(Where("key", "fill_value")));
  if (std::all_of(meta.fill.begin(), meta.fill.end(), [](char c) { return c == 0; }))
    meta.fill.clear();
  return meta;
}

}  // namespace ckpt
