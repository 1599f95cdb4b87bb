#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/crc32c.h"
#include "base/float.h"
#include "run/tile_kernel.h"

namespace ckpt {

/// What groups leave beside their codes, row after row of groups.
struct GroupSides {
  std::vector<BF16> scales;
  std::vector<int8_t> zeros;  ///< empty where the form is symmetric
};

/// The codes of a tile's rows whose groups lie each in one row: `out` has rows * row_bytes. Appends
/// to `sides` and `crc`. Errors: kBadInput for what has no finite scale, with tensor and index.
Result<void> MakeGroupRows(const RunContext& context, const Tile& tile, const std::byte* input,
                           const KernelScratch& scratch, std::span<std::byte> out,
                           GroupSides& sides, Crc32c& crc);

/// `count` rows of a tile from number `first` on, as bf16, one behind the other.
void CopyRows(const RunContext& context, const Tile& tile, const std::byte* input,
              const KernelScratch& scratch, uint64_t first, uint64_t count, BF16* into);

/// The codes of one group's rows, `rows` from row `begin` of the array on, that lie one behind the
/// other. Else as MakeGroupRows.
Result<void> MakeRowsOfGroups(const RunContext& context, size_t array, uint64_t begin,
                              uint64_t rows, const BF16* values, std::span<std::byte> out,
                              GroupSides& sides, Crc32c& crc);

}  // namespace ckpt
