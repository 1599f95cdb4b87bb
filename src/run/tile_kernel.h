#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/crc32c.h"
#include "base/float.h"
#include "run/context.h"
#include "run/tile_rows.h"

namespace ckpt {

/// Whether every array of the plan has a kernel for its source dtype. All that is missing at once.
/// Errors: kBadInput naming the types ("Q4_K") and tensors.
Result<void> CheckKernels(const Plan& plan);

/// Working memory of one lane's kernels.
struct KernelScratch {
  std::byte* gathered_row = nullptr;   ///< one row as in the source
  std::byte* converted_row = nullptr;  ///< one row as bf16 or the output's dtype
  std::byte* group_row = nullptr;      ///< codes of one row, before they are packed
};

/// Makes the stored bytes of a tile's rows, in row order: `out` has rows * row_bytes. For quantized
/// rows, appends the scales (bf16) to `scales`. Appends to `crc` while the bytes are in cache.
/// Encodings kCast, kQuantRows, kQuantColumns. Errors: kBadInput for a NaN or infinity, with tensor
/// and index.
Result<void> MakeRows(const RunContext& context, const Tile& tile, const std::byte* input,
                      const KernelScratch& scratch, std::span<std::byte> out,
                      std::vector<BF16>& scales, Crc32c& crc);

/// Column maxima of a tile's rows into `column_max` (bits of |bf16|). Errors as above.
Result<void> AddColumnMax(const RunContext& context, const Tile& tile, const std::byte* input,
                          const KernelScratch& scratch, std::span<uint16_t> column_max);

/// One stripe of a transposed array: the tile's rows become columns of `q` [blocks * 128, O], or
/// [blocks * 64, O] where two values share a byte (kernel/quantize.h), and `scales` [blocks, O],
/// for the column blocks [block_begin, block_begin + blocks). `staging`: rows * row_bytes, for
/// sources that are no bf16.
Result<void> MakeBlocks(const RunContext& context, const Tile& tile, const std::byte* input,
                        const KernelScratch& scratch, std::span<std::byte> staging,
                        uint64_t block_begin, uint64_t blocks, std::byte* q, BF16* scales);

/// Bytes `begin` and further of the values [blocks * 128, n_rows] that lie two to a byte in
/// `packed`, as many as `out` takes; `crc` goes on over them.
void UnpackBlocks(std::span<const std::byte> packed, uint64_t n_rows, uint64_t begin,
                  std::span<std::byte> out, Crc32c& crc);

}  // namespace ckpt
