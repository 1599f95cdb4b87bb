#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "plan/plan.h"
#include "plan/tensor_box.h"

namespace ckpt {

/// The rows of an array over a tensor that has no such rows (stored in chunks, transposed, one
/// tensor for each expert): each tile is read as a box of the tensor, and laid into the array's
/// order. Sets `rows` and `boxed`. Errors: kBadInput for types of blocks, whose elements cannot be
/// moved one by one.
Result<void> MapBoxRows(const ArraySpec& spec, const BoundRole& bound, const TensorEntry& tensor,
                        ArrayPlan& array);

/// Rows [row_begin, row_end) of a boxed array that are one box of its role.
struct BoxTile {
  RowSpan rows;
  size_t tensor = 0;  ///< into Catalog::tensors
  RoleBox role;
  Box box;  ///< of the tensor
};

/// The longest tile from row `row` on, to `end` at most, whose box and rows take at most
/// `most_bytes` each, and its output `most_output_bytes`; at least one row.
BoxTile BoxTileAt(const Plan& plan, size_t array, uint64_t row, uint64_t end, uint64_t most_bytes,
                  uint64_t most_output_bytes);

/// The same within the plan's memory. After PlanMemory.
BoxTile NextBoxTile(const Plan& plan, size_t array, uint64_t row, uint64_t end);

/// Bytes that the box of one row takes at most, and its row as it is fed.
uint64_t BoxRowBytes(const Plan& plan, size_t array);

/// Index in the source tensor of an element of any array's rows, and that tensor: for messages.
struct SourcePlaceOfElement {
  size_t tensor = 0;
  std::vector<uint64_t> index;
};
SourcePlaceOfElement FindSourceElement(const Plan& plan, size_t array, uint64_t row,
                                       uint64_t column);

}  // namespace ckpt
