#include "source/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "base/text.h"

namespace ckpt {

void AddObjectChecks(Catalog& catalog) {
  // Of chunked tensors an index tells, and mostly only a part of an object is read.
  if (std::any_of(catalog.tensors.begin(), catalog.tensors.end(),
                  [](const TensorEntry& tensor) { return tensor.chunked != nullptr; }))
    return;
  std::vector<StoredCheck> checks;
  for (uint32_t object = 0; object < catalog.objects.size(); ++object) {
    const ObjectInfo& info = catalog.objects[object];
    if (!info.crc32c) continue;
    const bool has_parts =
        std::any_of(catalog.checks.begin(), catalog.checks.end(),
                    [&](const StoredCheck& check) { return check.object == object; });
    if (has_parts) continue;
    checks.push_back(
        {"", object, {0, info.size_bytes}, info.crc32c->value(), StoredCheck::Kind::kCrc32c});
  }
  if (checks.empty()) return;
  std::move(catalog.checks.begin(), catalog.checks.end(), std::back_inserter(checks));
  std::stable_sort(checks.begin(), checks.end(),
                   [](const StoredCheck& a, const StoredCheck& b) { return a.object < b.object; });
  catalog.checks = std::move(checks);
}

uint64_t MemoryBytes(const Catalog& catalog) {
  // A string's own object holds 15 bytes; a map node has 32 bytes of links and colour.
  const auto text = [](const std::string& s) { return s.capacity() > 15 ? s.capacity() + 1 : 0; };
  const auto numbers = [](const std::vector<uint64_t>& v) {
    return v.capacity() * sizeof(uint64_t);
  };
  uint64_t bytes = sizeof(Catalog);
  for (const ObjectInfo& object : catalog.objects)
    bytes += sizeof(object) + text(object.name) + text(object.generation.value);
  const auto add_tensor = [&](const TensorEntry& tensor) {
    bytes += text(tensor.name) + numbers(tensor.shape.extents) +
             tensor.pieces.capacity() * sizeof(Piece);
    for (const Piece& piece : tensor.pieces)
      bytes += numbers(piece.box.begin) + numbers(piece.box.end) + numbers(piece.byte_strides);
    if (tensor.chunked == nullptr) return;
    const ChunkedTensor& chunked = *tensor.chunked;
    bytes += sizeof(ChunkedTensor) + chunked.chunks.capacity() * sizeof(StoredChunk) +
             text(chunked.inline_bytes) + text(chunked.meta.fill) +
             numbers(chunked.meta.shape.extents) + numbers(chunked.meta.chunk.extents) +
             numbers(chunked.chunk.extents);
    if (chunked.meta.sharding) bytes += numbers(chunked.meta.sharding->inner.extents);
  };
  bytes += catalog.tensors.capacity() * sizeof(TensorEntry);
  for (const TensorEntry& tensor : catalog.tensors) add_tensor(tensor);
  for (const std::vector<TensorEntry>& shard : catalog.shards) {
    bytes += sizeof(std::vector<TensorEntry>) + shard.capacity() * sizeof(TensorEntry);
    for (const TensorEntry& tensor : shard) add_tensor(tensor);
  }
  bytes += catalog.checks.capacity() * sizeof(StoredCheck);
  for (const StoredCheck& check : catalog.checks) bytes += text(check.name);
  for (const SourceConfig& config : catalog.configs) {
    bytes += sizeof(config) + text(config.text);
    for (const auto& [key, value] : config.values) {
      bytes += 32 + sizeof(std::pair<std::string, ConfigValue>) + text(key);
      if (const auto* string = std::get_if<std::string>(&value)) bytes += text(*string);
    }
  }
  for (const auto* pairs : {&catalog.metadata, &catalog.empty_leaves}) {
    for (const auto& [key, value] : *pairs)
      bytes += 32 + sizeof(std::pair<std::string, std::string>) + text(key) + text(value);
  }
  for (const std::string& warning : catalog.warnings) bytes += sizeof(std::string) + text(warning);
  return bytes;
}

std::vector<uint64_t> RowMajorStrides(DType dtype, const Shape& shape) {
  const DTypeInfo& info = Info(dtype);
  if (shape.rank() == 0 || shape.extents.back() % info.block_elements != 0) return {};
  std::vector<uint64_t> strides(shape.rank());
  uint64_t stride = info.block_bytes;
  strides.back() = stride;
  // An extent of 0 elsewhere may let a product wrap: a tensor without elements has no use for
  // strides.
  stride *= shape.extents.back() / info.block_elements;
  for (size_t axis = shape.rank() - 1; axis-- > 0;) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

TensorEntry ContiguousEntry(std::string name, DType dtype, Shape shape, uint32_t object,
                            ByteRange data) {
  Piece piece;
  piece.box.begin.assign(shape.rank(), 0);
  piece.box.end = shape.extents;
  piece.object = object;
  piece.offset_bytes = data.begin;
  piece.byte_strides = RowMajorStrides(dtype, shape);
  TensorEntry entry;
  entry.name = std::move(name);
  entry.dtype = dtype;
  entry.shape = std::move(shape);
  entry.size_bytes = data.size();
  entry.pieces.push_back(std::move(piece));
  return entry;
}

bool IsContiguous(const TensorEntry& tensor) {
  return tensor.chunked == nullptr && tensor.pieces.size() == 1 &&
         tensor.pieces[0].box.end == tensor.shape.extents &&
         tensor.pieces[0].byte_strides == RowMajorStrides(tensor.dtype, tensor.shape);
}

bool HasDensePieces(const TensorEntry& tensor) {
  if (tensor.chunked != nullptr) return false;
  return std::all_of(tensor.pieces.begin(), tensor.pieces.end(), [&](const Piece& piece) {
    Shape box;
    for (size_t axis = 0; axis < piece.box.begin.size(); ++axis)
      box.extents.push_back(piece.box.end[axis] - piece.box.begin[axis]);
    return piece.byte_strides == RowMajorStrides(tensor.dtype, box);
  });
}

uint64_t StoredBytes(const TensorEntry& tensor) {
  if (tensor.chunked == nullptr) return tensor.size_bytes;
  uint64_t bytes = 0;  // of ranges inside files of known sizes, and of at most 10^8 chunks
  for (const StoredChunk& chunk : tensor.chunked->chunks) bytes += chunk.length;
  return bytes;
}

Result<void> SortTensors(Catalog& catalog) {
  auto& tensors = catalog.tensors;
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(
      tensors.begin(), tensors.end(),
      [](const TensorEntry& a, const TensorEntry& b) { return a.name == b.name; });
  if (twice == tensors.end()) return {};
  const auto file = [&](const TensorEntry& tensor) {
    if (tensor.pieces.empty()) return Printable(catalog.root.Print());
    return PrintObject(catalog, tensor.pieces.front().object);
  };
  return Result<void>(Fail(Code::kBadInput,
                           fmt::format("this tensor appears twice, in {} and in {}", file(*twice),
                                       file(*(twice + 1))),
                           "the files do not belong together: name one model's files only"))
      .map_error(Where("tensor", Excerpt(twice->name)))
      .map_error(Where("file", file(*twice)));
}

std::string PrintObject(const Catalog& catalog, uint32_t object) {
  return Printable(catalog.root.PrintBelow(catalog.objects[object].name));
}

}  // namespace ckpt
