#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/family.h"
#include "model/view.h"

namespace ckpt {

/// Small models whose elements are distinct numbers, laid out scheme by scheme as the cells say:
/// what proof.cc holds the composed mappings to.

/// One tensor of a small model in one scheme. Number 0: no role has claimed the element.
struct SmallTensor {
  static constexpr uint32_t kFill = UINT32_MAX;  ///< a zero that pads an axis, or a constant
  Shape shape;
  std::vector<uint32_t> numbers;
};

/// Where a role lies in one tensor of a scheme.
struct Placed {
  SmallTensor* tensor = nullptr;  ///< in the SmallScheme that holds this
  View view;
  /// The tensor holds one index of this axis of the role (one tensor per expert).
  std::optional<size_t> parts_axis = {};
  uint64_t part = 0;
};

/// A whole model in one scheme.
struct SmallScheme {
  std::map<std::string, SmallTensor> tensors;
  std::map<std::pair<size_t, uint64_t>, std::vector<Placed>> roles;  ///< by (row, layer)
  std::set<const Cell*> cells;                                       ///< of the family, as used
};

/// What a small model is made of.
struct SmallModel {
  Dims dims;
  std::map<std::string, std::string> facts;
};

/// Lays out all roles in one scheme, element by element, by the definition of a view. Adds to
/// `faults` what no reading of the table shows: views that are no bijections, elements claimed
/// twice or by nobody.
SmallScheme LayOut(const Family& family, const SmallModel& model, const std::string& scheme,
                   std::vector<std::string>& faults);

}  // namespace ckpt
