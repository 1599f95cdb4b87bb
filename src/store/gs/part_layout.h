#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/byte_range.h"

namespace ckpt::gs {

inline constexpr uint64_t kLeastPartBytes = uint64_t{5} << 20;  ///< of all parts but the last
inline constexpr size_t kMostParts = 10'000;

/// How an object is cut into the parts of a multipart upload. The parts lie one behind the other
/// and cover the object. Origin of the limits: Cloud Storage, "XML API multipart uploads".
struct PartLayout {
  std::vector<ByteRange> parts;  ///< part number i + 1 is parts[i]
  uint64_t most_bytes = 0;       ///< of one part
  /// Parts with a border inside: they may wait, partly filled, until their other segment comes.
  size_t straddling = 0;
  /// The parts cut once more along all borders: no write's segment begins or ends inside a cell.
  /// Those of part i are cells[first_cell[i]] up to cells[first_cell[i + 1]], without that one.
  std::vector<ByteRange> cells;
  std::vector<size_t> first_cell;

  /// The part that holds `offset`, which must lie in the object.
  size_t Find(uint64_t offset) const;
  /// The same for cells.
  size_t FindCell(uint64_t offset) const;
};

/// Cuts each segment into ceil(segment / P) parts that are equal to within 64 bytes and, the last
/// aside, multiples of them, P being max(16 MiB, part_bytes), or more where there would be more
/// than 10,000 parts. A segment under 5 MiB is joined to the next before that, since no part but
/// the last may be smaller. `borders` as in CreateOptions.
PartLayout CutIntoParts(uint64_t size_bytes, std::span<const uint64_t> borders,
                        uint64_t part_bytes);

}  // namespace ckpt::gs
