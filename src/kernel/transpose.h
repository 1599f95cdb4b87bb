#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/convert.h"

namespace ckpt {

/// dst[c * dst_stride_bytes + r * element_bytes] = rows[r][c]: rows of a source become columns of the output, the rows
/// lying anywhere, so any permutation of rows (heads, rotary pairs) comes free.
/// element_bytes 1, 2 or 4; any alignment (fast where dst is 64-byte aligned); no overlap.
/// Origin of the scheme (pack a block into L2 with padded rows, prefetch the next block, 32x32 tiles in registers,
/// streaming stores of whole lines): measured, see docs/decisions/.
void TransposeRows(const std::byte* const* rows, size_t n_rows, size_t n_columns, uint32_t element_bytes,
                   std::byte* dst, size_t dst_stride_bytes);

/// The same with a conversion fused into the pack step: rows hold `n_columns` elements of `from`, the output elements
/// of `to` (from and to as FindConvert takes them; block types allowed: n_columns whole blocks).
/// Returns false where no such conversion exists.
bool TransposeRowsConvert(const std::byte* const* rows, size_t n_rows, size_t n_columns, DType from, DType to,
                          std::byte* dst, size_t dst_stride_bytes);

/// One axis of a strided copy; strides in bytes.
struct StridedAxis {
  uint64_t extent;
  int64_t src_stride;
  int64_t dst_stride;
};
/// dst[sum i_k * dst_stride_k] = src[sum i_k * src_stride_k] for all i; axes in any order (merged and ordered inside).
/// element_bytes 1, 2, 4 or 8. Where one axis is contiguous in the source and another in the output it goes through
/// the transpose kernel.
void PermuteCopy(const std::byte* src, std::byte* dst, std::span<const StridedAxis> axes, uint32_t element_bytes);

}  // namespace ckpt
