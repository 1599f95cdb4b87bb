#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/family.h"
#include "model/model.h"
#include "plan/target.h"
#include "target/hf/ignore.h"
#include "target/hf/parallel.h"
#include "target/hf/schemes.h"

namespace ckpt {

/// Turns the weights of Linear modules into quantized arrays, and keeps account of those that stay.
class ModuleQuantizer {
 public:
  ModuleQuantizer(const Model& model, const CtScheme& scheme, const TargetSettings& settings,
                  IgnoreList ignore);

  /// The arrays of one weight [O, I] of a role: the codes (values and view are `weight`'s), scales,
  /// shape and zero points as the scheme has them; or `weight` alone where its module stays.
  /// `first`: the number that the first of them gets.
  Result<std::vector<ArraySpec>> Quantize(ArraySpec weight, const CellInstance& cell,
                                          const RoleInstance& instance, size_t first);

  /// Once all are asked for. Errors: kUsage where modules that servers load as one are not all
  /// quantized or all left; the message names them.
  Result<void> Check() const;
  /// Modules that stay, in the model's order, and "lm_head" whether or not it has a tensor.
  std::vector<std::string> Ignored() const;
  std::vector<std::string> Warnings() const;
  uint64_t count() const { return count_; }
  uint64_t MostParallel() const { return parallel_.Largest(); }

 private:
  struct Fused {
    std::vector<std::string> quantized;
    std::vector<std::string> left;
  };
  bool IsQuantized(const std::string& module, const CellInstance& cell, const Shape& shape);
  std::string GroupKey(const CellInstance& cell, const RoleInstance& instance) const;
  void NoteBlocks(const std::string& module, const Shape& shape, const RoleInstance& instance);

  const Model& model_;
  const CtScheme& scheme_;
  const TargetSettings& settings_;
  IgnoreList ignore_;
  std::map<std::string, Fused> fused_;
  std::vector<std::string> ignored_;
  std::vector<std::string> ragged_;  // whose rows are no whole groups
  std::vector<std::string> split_;   // fp8-block: that end inside a block where others follow
  std::vector<std::string> narrow_;  // fp8-block: whose rows end inside one
  bool has_experts_ = false;
  uint64_t count_ = 0;
  ParallelSizes parallel_;
};

}  // namespace ckpt
