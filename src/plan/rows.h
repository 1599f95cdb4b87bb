#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/view.h"
#include "plan/target.h"
#include "source/catalog.h"

namespace ckpt {

/// One axis of the order in which output rows follow one another.
struct RowAxis {
  uint64_t extent = 0;
  uint64_t source_stride = 0;  ///< elements of the source tensor (C order)
};

/// An output array seen as rows: runs of elements that are contiguous in the output's values and in
/// the source tensor, so that any permutation of rows (heads, rotary pairs) is an order of reading.
/// Row r's digits in the mixed radix of `axes` (outermost first) give its first source element:
/// source_offset + sum digit_k * source_stride_k.
struct RowMap {
  uint64_t n_rows = 1;
  uint64_t row_elements = 1;
  uint64_t source_offset = 0;
  std::vector<RowAxis> axes;
  uint64_t rows_per_band = 1;  ///< whole bands are the borders of bundles

  /// First source element of row `row`.
  uint64_t SourceElement(uint64_t row) const;
};

/// The rows of `array`'s values over the source tensor of `bound`. For quantized arrays a row is
/// the last axis of the values (the reduction's unit); for a cast of a vector, a piece of bounded
/// length. Nothing if source and output order the elements inside a row differently (a transposed
/// source).
std::optional<RowMap> MapRows(const ArraySpec& array, const BoundRole& bound,
                              const TensorEntry& tensor);

}  // namespace ckpt
