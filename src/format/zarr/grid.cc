#include <charconv>
#include <vector>

#include "base/check.h"
#include "base/checked.h"
#include "format/zarr/meta.h"

namespace ckpt {
namespace {

std::vector<uint64_t> ChunkIndex(const Shape& grid, uint64_t number) {
  std::vector<uint64_t> index(grid.rank());
  for (size_t axis = grid.rank(); axis-- > 0;) {
    index[axis] = number % grid[axis];
    number /= grid[axis];
  }
  return index;
}

uint64_t DenseBytes(DType dtype, const Shape& shape) {
  uint64_t bytes = ElementBytes(dtype);
  for (const uint64_t extent : shape.extents) bytes *= extent;
  return bytes;
}

uint64_t GridExtent(const ZarrArrayMeta& meta, size_t axis) {
  return CeilDiv(meta.shape[axis], meta.chunk[axis]);
}

// A decimal without sign and leading zeros, from the front of `text`.
std::optional<uint64_t> TakeNumber(std::string_view& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto length = static_cast<size_t>(end - text.data());
  if (error != std::errc() || (text[0] == '0' && length > 1)) return std::nullopt;
  text.remove_prefix(length);
  return value;
}

}  // namespace

uint64_t ZarrChunkBytes(const ZarrArrayMeta& meta) { return DenseBytes(meta.dtype, meta.chunk); }
uint64_t ZarrInnerBytes(const ZarrArrayMeta& meta) {
  return DenseBytes(meta.dtype, meta.sharding->inner);
}

Shape ZarrGrid(const ZarrArrayMeta& meta) {
  Shape grid;
  for (size_t axis = 0; axis < meta.shape.rank(); ++axis)
    grid.extents.push_back(GridExtent(meta, axis));
  return grid;
}

std::string ZarrChunkKey(const ZarrArrayMeta& meta, uint64_t number) {
  std::string key = meta.has_prefix ? "c" : "";
  for (const uint64_t index : ChunkIndex(ZarrGrid(meta), number)) {
    if (!key.empty()) key += meta.separator;
    key += std::to_string(index);
  }
  return key.empty() ? "0" : key;
}

std::optional<uint64_t> ZarrChunkNumber(const ZarrArrayMeta& meta, std::string_view key) {
  if (meta.shape.rank() == 0)
    return key == (meta.has_prefix ? "c" : "0") ? std::optional<uint64_t>(0) : std::nullopt;
  if (meta.has_prefix) {
    if (!key.starts_with('c')) return std::nullopt;
    key.remove_prefix(1);
  }
  uint64_t number = 0;
  for (size_t axis = 0; axis < meta.shape.rank(); ++axis) {
    const uint64_t extent = GridExtent(meta, axis);
    if (axis > 0 || meta.has_prefix) {
      if (!key.starts_with(meta.separator)) return std::nullopt;
      key.remove_prefix(1);
    }
    const auto index = TakeNumber(key);
    if (!index || *index >= extent) return std::nullopt;
    number = number * extent + *index;
  }
  return key.empty() ? std::optional<uint64_t>(number) : std::nullopt;
}

}  // namespace ckpt
