#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "plan/tensor_box.h"

namespace ckpt {

/// A region of a role, cut into boxes of one size but at its ends.
struct BoxGrid {
  RoleBox region;
  std::vector<uint64_t> step;  ///< extents of a box

  uint64_t Count() const;
  /// Box number `number`, in C order.
  RoleBox At(uint64_t number) const;
};

/// The first box of a region with these extents.
RoleBox FirstBox(const RoleBox& region, std::span<const uint64_t> step);

struct BoxWishes {
  /// Per axis the most that a box may take of it; empty for no such limits.
  std::vector<uint64_t> most;
  /// Per axis what boxes should be multiples of (chunks, blocks); 1 where it does not matter.
  std::vector<uint64_t> grain;
  /// Whether a box fits into the memory; one of a single element does.
  std::function<bool(const RoleBox&)> fits;
  /// Bytes to read for a box.
  std::function<uint64_t(const RoleBox&)> cost;
};

/// Halves the region, each time along the axis by which an element then costs the least bytes to
/// read (of equals the outermost), until a box fits.
BoxGrid CutRegion(const RoleBox& region, const BoxWishes& wishes);

}  // namespace ckpt
