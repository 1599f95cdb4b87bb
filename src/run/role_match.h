#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model.h"
#include "plan/tensor_box.h"

namespace ckpt {

/// The axis that may be longer in one of two checkpoints of one model: converters cut the
/// vocabulary, and pad it with rows of zeros.
inline constexpr std::string_view kVocabularyAxis = "v";

/// A role of either of two models, and what of it can be compared.
struct RolePair {
  std::string role;
  const BoundRole* a = nullptr;  ///< null where the model has no such role
  const BoundRole* b = nullptr;
  std::vector<uint64_t> extents_a;  ///< of the role's axes, as far as the source has them
  std::vector<uint64_t> extents_b;
  /// Only one has it, and the other's naming scheme has no place for it.
  bool is_unplaced = false;
  /// Both have it, with axes that cannot be compared: other extents than that of the vocabulary
  /// differ.
  bool has_other_shape = false;
  RoleBox common;  ///< what is compared; empty unless both have it
  RoleBox more;    ///< rows that only one of them has; empty for none
  bool is_more_a = false;
  /// The pair whose tensors these are too, on both sides (tied outputs): read once.
  std::optional<size_t> same_as;

  bool IsCompared() const { return a != nullptr && b != nullptr && !has_other_shape; }
  bool HasMore() const { return !more.begin.empty(); }
  /// Of either.
  const RoleInstance& instance() const { return (a != nullptr ? a : b)->instance; }
};

/// The roles of both models, those of `a` in their order, then those that only `b` has. The models
/// must outlive the pairs. Errors: kBadInput for models of two families.
Result<std::vector<RolePair>> MatchRoles(const Model& a, const Model& b);

}  // namespace ckpt
