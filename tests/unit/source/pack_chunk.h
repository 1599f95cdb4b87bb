#pragma once

#include <string>
#include <utility>
#include <vector>

#include "format/zarr/meta.h"
#include "source/box_runs.h"
#include "tests/unit/format/compressed.h"
#include "tests/unit/format/hex.h"

namespace ckpt {

/// A dense box out of a dense array; what lies beyond its end is '#'.
inline std::string PartOf(DType dtype, const Shape& shape, const std::string& from,
                          const Box& box) {
  std::string out(BoxBytes(dtype, box), '#');
  BoxRuns runs(dtype, WholeBox(shape), RowMajorStrides(dtype, shape), box);
  for (BoxRun run; runs.Next(run);) out.replace(run.out, run.bytes, from, run.source, run.bytes);
  return out;
}

/// Cell `number` (C order) of a grid of cells.
inline Box CellOf(const Shape& grid, const Shape& cell, uint64_t number) {
  Box box{std::vector<uint64_t>(grid.rank()), std::vector<uint64_t>(grid.rank())};
  for (size_t axis = grid.rank(); axis-- > 0;) {
    box.begin[axis] = number % grid[axis] * cell[axis];
    box.end[axis] = box.begin[axis] + cell[axis];
    number /= grid[axis];
  }
  return box;
}

/// The stored bytes of a chunk, or of an inner chunk of a shard.
inline std::string PackElements(const ZarrCodecs& codecs, std::string_view elements) {
  std::string stored = Compressed(codecs.compression, elements);
  return codecs.has_crc32c ? WithCrc(std::move(stored)) : stored;
}

/// A shard of these stored inner chunks, its index at the end.
inline std::string PackShard(const std::vector<std::string>& inner) {
  std::string stored;
  std::string index;
  for (const std::string& packed : inner) {
    for (const uint64_t value : {uint64_t{stored.size()}, uint64_t{packed.size()}}) {
      for (uint32_t i = 0; i < 8; ++i)
        index += static_cast<char>(static_cast<unsigned char>(value >> (8U * i)));
    }
    stored += packed;
  }
  return stored + WithCrc(index);
}

}  // namespace ckpt
