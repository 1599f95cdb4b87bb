#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel/convert.h"

namespace ckpt {

/// What the per-target code of transpose.cc gets: TransposeRows and TransposeRowsConvert in one.
struct TransposeJob {
  const std::byte* const* rows;
  size_t n_rows, n_columns;
  uint32_t element_bytes;  ///< of the output
  ConvertFn convert;       ///< nullptr: source elements are output elements
  size_t source_block_elements, source_block_bytes;
  std::byte* dst;
  size_t dst_stride;

  /// Bytes of `n` source elements, whole blocks.
  size_t SourceBytes(size_t n) const { return n / source_block_elements * source_block_bytes; }
};

/// Outputs of at least this size are streamed past the caches. Smaller ones stay, for who reads
/// them next.
inline constexpr size_t kStreamedBytes = size_t{1} << 20;

}  // namespace ckpt
