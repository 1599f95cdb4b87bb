#pragma once

#include <bitset>
#include <string>

#include "base/shape.h"
#include "model/model.h"
#include "plan/target.h"

namespace ckpt {

/// Into how many equal parts servers may cut a quantized model (--tensor-parallel-size) without
/// cutting a group, a block of scales or a word of codes. A weight [O, I] that reads the residual
/// stream is cut along O, one that writes it along I; heads stay whole, and where there are fewer
/// than parts, as of keys and values, each is given to several.
class ParallelSizes {
 public:
  static constexpr uint64_t kMost = 128;

  explicit ParallelSizes(const Model& model);

  /// One more quantized weight, in its cell's shape.
  void Take(const GroupForm& group, const Shape& shape, const CellInstance& cell,
            const RoleInstance& instance);
  /// The largest that all weights allow, 1 at least and kMost at most.
  uint64_t Largest() const;

 private:
  bool Fits(uint64_t parts, const GroupForm& group, const Shape& shape, uint64_t heads,
            bool writes_residual) const;

  std::string residual_;  // the axis's name; empty where the family does not tell
  std::bitset<kMost + 1> possible_;
};

}  // namespace ckpt
