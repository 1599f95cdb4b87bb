#include "target/hf/parallel.h"

#include <algorithm>

namespace ckpt {

ParallelSizes::ParallelSizes(const Model& model) {
  possible_.set();
  // The last norm is as long as the residual stream is wide.
  for (const BoundRole& bound : model.roles) {
    if (bound.instance.role == "norm" && bound.instance.axes.size() == 1)
      residual_ = bound.instance.axes.front().name;
  }
}

bool ParallelSizes::Fits(uint64_t parts, const GroupForm& group, const Shape& shape, uint64_t heads,
                         bool writes_residual) const {
  const uint64_t per_word = group.is_packed ? 32 / static_cast<uint64_t>(group.bits) : 1;
  if (writes_residual) {
    if (heads % parts != 0) return false;
    const uint64_t columns = shape[1] / parts;
    return columns % std::max<uint64_t>(1, group.columns) == 0 && columns % per_word == 0;
  }
  if (heads % parts != 0 && parts % heads != 0) return false;
  const uint64_t rows = shape[0] / std::min(parts, heads);
  return rows % group.rows == 0 && (group.is_symmetric || rows % per_word == 0);
}

void ParallelSizes::Take(const GroupForm& group, const Shape& shape, const CellInstance& cell,
                         const RoleInstance& instance) {
  const bool writes_residual =
      !cell.tensor_axes.empty() && cell.tensor_axes.front().name == residual_;
  // What is cut is the outermost axis of the other side: heads of heads times width.
  uint64_t heads = shape[writes_residual ? 1 : 0];
  for (size_t a = 0; a < instance.axes.size(); ++a) {
    if (cell.parts_axis == a || instance.axes[a].name == residual_) continue;
    heads = instance.axes[a].extent;
    break;
  }
  for (uint64_t parts = 2; parts <= kMost; ++parts) {
    if (!Fits(parts, group, shape, heads, writes_residual)) possible_.reset(parts);
  }
}

uint64_t ParallelSizes::Largest() const {
  uint64_t parts = kMost;
  while (parts > 1 && !possible_[parts]) --parts;
  return parts;
}

}  // namespace ckpt
