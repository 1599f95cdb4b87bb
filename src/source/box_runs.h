#pragma once

#include <cstdint>
#include <vector>

#include "base/byte_range.h"
#include "base/dtype.h"
#include "source/catalog.h"

namespace ckpt {

/// Bytes that lie together both in a source and in a dense C-order box.
struct BoxRun {
  uint64_t source = 0;  ///< from the source's first element
  uint64_t out = 0;     ///< from the box's first element
  uint64_t bytes = 0;
};

/// The part that a strided source and a box have in common, as runs in ascending order of the
/// source's bytes. Cheap to copy: a copy is a bookmark.
class BoxRuns {
 public:
  /// `source`: a part of the tensor whose element (i0, ...) lies at the sum of (i_k - begin_k) *
  /// byte_strides[k]; for block types the last axis counts in blocks, as Piece says. `box`: dense,
  /// in C order. Both in the tensor's coordinates; borders are block borders (CKPT_CHECKed).
  BoxRuns(DType dtype, const Box& source, const std::vector<uint64_t>& byte_strides,
          const Box& box);

  /// The next run; false at the end. Neighbours are not joined any further.
  bool Next(BoxRun& run);
  /// Bytes of all runs.
  uint64_t total_bytes() const { return total_bytes_; }
  /// Of the source: from the first byte of the first run to the last byte of all of them. Empty
  /// where there are none.
  const ByteRange& reach() const { return reach_; }

 private:
  struct Axis {
    uint64_t extent = 0;
    uint64_t source_stride = 0;
    uint64_t out_stride = 0;
    uint64_t index = 0;
  };
  std::vector<Axis> axes_;  // outermost first: by falling source stride
  uint64_t run_bytes_ = 0;
  uint64_t source_ = 0;
  uint64_t out_ = 0;
  uint64_t total_bytes_ = 0;
  ByteRange reach_;
  bool is_over_ = false;
};

/// All of a tensor.
Box WholeBox(const Shape& shape);
/// The common part of two boxes; nothing in it where some begin is at or after its end.
Box Intersect(const Box& a, const Box& b);
bool IsEmpty(const Box& box);
/// Bytes of a dense box of whole blocks.
uint64_t BoxBytes(DType dtype, const Box& box);

}  // namespace ckpt
