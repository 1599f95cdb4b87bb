#include "source/orbax/arrays.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/checked.h"
#include "base/text.h"
#include "format/zarr/chunk.h"
#include "source/reading.h"

namespace ckpt {
namespace {

constexpr std::string_view kWrongForm =
    "_METADATA names another version of zarr than the arrays have: each is read as it is";
// Chunk keys are looked through once. Arrays whose names lie inside each other's keys would make us
// look more often; a few do no harm.
constexpr uint64_t kMostLooks = 4;
// What a compressed chunk may be longer than its elements: frames and blocks that do not compress.
constexpr uint64_t kMostOverheadBytes = 64ULL << 20U;

tl::unexpected<Error> AtKey(std::string_view key, std::string what, std::string remedy) {
  return Fail(
      Error{Code::kBadInput, std::move(what), {}, {{"key", Excerpt(key)}}, std::move(remedy)});
}

std::string_view MetaName(ZarrForm form) {
  return form == ZarrForm::kV3 ? kZarrV3Name : kZarrV2Name;
}

// What all chunk keys of an array begin with, narrower than its name where that is sure.
std::string ChunkPrefix(const std::string& name, const ZarrArrayMeta& meta) {
  return name + (meta.has_prefix ? "/c" : "/");
}

}  // namespace

Result<void> ArrayFinder::Add(const OrbaxLeaf& leaf, Catalog& catalog) {
  const std::string name = OrbaxTensorName(leaf.path);
  if (FirstInvalidUtf8(name) != std::string::npos)
    return AtKey(name, "a name that is not UTF-8", "the checkpoint is damaged: fetch it again");
  // Texts of the host language lie in a file of their own, which holds no weights.
  if (IsEmptyLeaf(leaf) || leaf.value_type == "string") {
    catalog.empty_leaves[name] = leaf.value_type.empty() ? "skipped" : leaf.value_type;
    return {};
  }
  auto tensor = Find(leaf, catalog.warnings);
  if (!tensor) return Fail(Where("tensor", Excerpt(name))(std::move(tensor).error()));
  tensor->name = name;
  catalog.tensors.push_back(*std::move(tensor));
  return {};
}

Result<TensorEntry> ArrayFinder::Find(const OrbaxLeaf& leaf, std::vector<std::string>& warnings) {
  const std::string name = OrbaxParamName(leaf.path);
  CKPT_TRY(ZarrArrayMeta meta, ReadMeta(name, warnings));
  auto chunked = std::make_shared<ChunkedTensor>();
  CKPT_TRY_VOID(PlaceChunks(name, meta, *chunked));
  TensorEntry tensor;
  tensor.dtype = meta.dtype;
  tensor.shape = meta.shape;
  CKPT_TRY(tensor.size_bytes, TensorBytes(meta.dtype, meta.shape));
  chunked->chunk = meta.chunk;
  chunked->meta = std::move(meta);
  CKPT_TRY_VOID(CheckAllThere(name, *chunked, warnings));
  tensor.chunked = std::move(chunked);
  return tensor;
}

Result<ZarrArrayMeta> ArrayFinder::ReadMeta(const std::string& name,
                                            std::vector<std::string>& warnings) {
  const ZarrForm expected = tree_.use_zarr3 ? ZarrForm::kV3 : ZarrForm::kV2;
  const ZarrForm other = tree_.use_zarr3 ? ZarrForm::kV2 : ZarrForm::kV3;
  ZarrForm form = expected;
  const KeyTable::Entry* entry = keys_.Find(fmt::format("{}/{}", name, MetaName(expected)));
  if (entry == nullptr) {
    form = other;
    entry = keys_.Find(fmt::format("{}/{}", name, MetaName(other)));
    if (entry == nullptr)
      return AtKey(fmt::format("{}/{}", name, MetaName(expected)),
                   "the array's metadata is missing",
                   "the copy is incomplete: fetch the whole checkpoint again");
    if (std::find(warnings.begin(), warnings.end(), kWrongForm) == warnings.end())
      warnings.emplace_back(kWrongForm);
  }
  const auto at_key = Where("key", Excerpt(entry->key));
  if (entry->place.length > kZarrMaxMetaBytes)
    return AtKey(entry->key,
                 fmt::format("the array's metadata has {} bytes, at most {} are read",
                             entry->place.length, kZarrMaxMetaBytes),
                 "the checkpoint is damaged: fetch it again");
  if (entry->place.object == kInlineChunk)
    return DecodeZarrMeta(form, entry->inline_value).map_error(at_key);
  CKPT_TRY(const Grant grant, GrantNow(budget_, entry->place.length, "an array's metadata"));
  std::string json(entry->place.length, '\0');
  CKPT_TRY_VOID(item_.Read(entry->place.object, entry->place.offset,
                           std::as_writable_bytes(std::span(json))));
  return DecodeZarrMeta(form, json)
      .map_error(at_key)
      .map_error(InFile(item_.store(), item_.object(entry->place.object).name));
}

Result<void> ArrayFinder::PlaceChunks(const std::string& name, const ZarrArrayMeta& meta,
                                      ChunkedTensor& chunked) {
  const uint64_t count = *ZarrGrid(meta).Elements();
  const std::string prefix = ChunkPrefix(name, meta);
  const size_t begin = keys_.LowerBound(prefix);
  size_t end = begin;
  uint64_t inline_bytes = 0;
  for (; end < keys_.size() && keys_[end].key.starts_with(prefix); ++end)
    inline_bytes += keys_[end].inline_value.size();
  visited_keys_ += end - begin;
  if (visited_keys_ > kMostLooks * keys_.size())
    return AtKey(name, "the keys of too many arrays lie inside each other's",
                 "the checkpoint is damaged: fetch it again");
  // A table of far more chunks than there are keys is not even allocated where each must be stored.
  if (tree_.stores_fill_chunks && count > end - begin)
    return AtKey(name,
                 fmt::format("the array has {} chunks, only {} are stored", count, end - begin),
                 "the copy is incomplete: fetch the whole checkpoint again");
  CKPT_TRY_VOID(grant_.Add(sizeof(ChunkedTensor) + count * sizeof(StoredChunk) + inline_bytes));
  chunked.chunks.resize(count);
  chunked.inline_bytes.reserve(inline_bytes);
  for (size_t i = begin; i < end; ++i) {
    const KeyTable::Entry& entry = keys_[i];
    const auto number = ZarrChunkNumber(meta, entry.key.substr(name.size() + 1));
    if (!number) continue;  // metadata, or another array whose name begins like this one's keys
    CKPT_TRY_VOID(CheckPlace(meta, entry));
    StoredChunk& chunk = chunked.chunks[*number];
    chunk = entry.place;
    if (chunk.object != kInlineChunk) continue;
    chunk.offset = chunked.inline_bytes.size();
    chunked.inline_bytes += entry.inline_value;
  }
  return {};
}

Result<void> ArrayFinder::CheckPlace(const ZarrArrayMeta& meta,
                                     const KeyTable::Entry& entry) const {
  const StoredChunk& place = entry.place;
  const auto refuse = [&](std::string what) -> Result<void> {
    Error error = AtKey(entry.key, std::move(what),
                        "the copy is incomplete or damaged: fetch the whole checkpoint again")
                      .value();
    if (place.object != kInlineChunk)
      error = InFile(item_.store(), item_.object(place.object).name)(std::move(error));
    return Fail(std::move(error));
  };
  const bool is_plain = !meta.sharding && meta.codecs.compression == Compression::kNone;
  const uint64_t chunk_bytes = ZarrChunkBytes(meta);
  const uint64_t plain_bytes = chunk_bytes + (meta.codecs.has_crc32c ? kChunkCrcBytes : 0);
  if (place.length == 0 || (is_plain && place.length != plain_bytes))
    return refuse(
        fmt::format("a chunk of {} bytes{}", place.length,
                    is_plain ? fmt::format(" where one of {} belongs", plain_bytes) : ""));
  if (!is_plain && place.length > 2 * chunk_bytes + kMostOverheadBytes)
    return refuse(fmt::format("{} stored bytes for a chunk of {}", place.length, chunk_bytes));
  if (place.object == kInlineChunk) return {};
  const uint64_t file_bytes = item_.object(place.object).size_bytes;
  if (place.offset > file_bytes || place.length > file_bytes - place.offset)
    return refuse(fmt::format("truncated: the chunk has {} bytes at byte {}, the file has {}",
                              place.length, place.offset, file_bytes));
  return {};
}

Result<void> ArrayFinder::CheckAllThere(const std::string& name, const ChunkedTensor& chunked,
                                        std::vector<std::string>& warnings) const {
  const auto is_absent = [](const StoredChunk& chunk) { return chunk.length == 0; };
  const auto first = std::find_if(chunked.chunks.begin(), chunked.chunks.end(), is_absent);
  if (first == chunked.chunks.end()) return {};
  const auto missing = std::count_if(first, chunked.chunks.end(), is_absent);
  const std::string key = fmt::format(
      "{}/{}", name,
      ZarrChunkKey(chunked.meta, static_cast<uint64_t>(first - chunked.chunks.begin())));
  if (tree_.stores_fill_chunks)
    return AtKey(key, fmt::format("{} chunks of the array are missing, this is the first", missing),
                 "the copy is incomplete: fetch the whole checkpoint again");
  warnings.push_back(fmt::format(
      "{}: {} of {} chunks are not stored, they are taken for the fill value (older releases of "
      "orbax leave them out)",
      Excerpt(name), missing, chunked.chunks.size()));
  return {};
}

}  // namespace ckpt
