#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/convert.h"

namespace ckpt {

/// dst[c * dst_stride_bytes + r * element_bytes] = rows[r][c]: rows of a source become columns of
/// the output. The rows may lie anywhere, so any permutation of rows (heads, rotary pairs) is free.
/// element_bytes 1, 2 or 4; any alignment; no overlap. Bytes between the output's rows are kept.
/// Fast where dst_stride_bytes is a multiple of 64 (dst may be of any alignment that its elements
/// have): outputs of 1 MiB or more then go past the caches in whole lines. Best in stripes of 128
/// to 256 rows; needs 140 KiB of stack.
void TransposeRows(const std::byte* const* rows, size_t n_rows, size_t n_columns,
                   uint32_t element_bytes, std::byte* dst, size_t dst_stride_bytes);

/// The same with a conversion fused in: rows hold `n_columns` elements of `from`, the output has
/// elements of `to` (both as FindConvert takes them, block types in whole blocks).
/// Returns false, and does nothing, where no such conversion exists or `to` is wider than 4 bytes.
bool TransposeRowsConvert(const std::byte* const* rows, size_t n_rows, size_t n_columns, DType from,
                          DType to, std::byte* dst, size_t dst_stride_bytes);

/// One axis of a strided copy; strides in bytes.
struct StridedAxis {
  uint64_t extent;
  int64_t src_stride;
  int64_t dst_stride;
};
/// dst[sum i_k * dst_stride_k] = src[sum i_k * src_stride_k] for all i; element_bytes 1, 2, 4 or 8.
/// The axes come in any order, at most 16 of them with an extent above 1; strides may be negative,
/// those of the source zero. No two elements may have one place in the output; no overlap.
/// Where the source is contiguous along one axis and the output along others, it goes through the
/// transpose kernel; where both are along the same, in whole runs.
void PermuteCopy(const std::byte* src, std::byte* dst, std::span<const StridedAxis> axes,
                 uint32_t element_bytes);

}  // namespace ckpt
