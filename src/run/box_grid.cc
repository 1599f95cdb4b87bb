#include "run/box_grid.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked.h"
#include "base/index.h"

namespace ckpt {
namespace {

// About half of a step, a multiple of the grain where that is smaller.
uint64_t Smaller(uint64_t step, uint64_t grain) {
  const uint64_t half = CeilDiv(step, 2);
  return grain <= half ? RoundDown(half, grain) : half;
}

double CostPerElement(const RoleBox& box, const BoxWishes& wishes) {
  double elements = 1;
  for (size_t k = 0; k < box.begin.size(); ++k)
    elements *= static_cast<double>(box.end[k] - box.begin[k]);
  return static_cast<double>(wishes.cost(box)) / elements;
}

}  // namespace

uint64_t BoxGrid::Count() const {
  uint64_t count = 1;
  for (size_t k = 0; k < step.size(); ++k) {
    const uint64_t extent = region.end[k] - region.begin[k];
    if (extent == 0) return 0;
    count *= CeilDiv(extent, step[k]);
  }
  return count;
}

RoleBox BoxGrid::At(uint64_t number) const {
  std::vector<uint64_t> boxes;
  for (size_t k = 0; k < step.size(); ++k)
    boxes.push_back(CeilDiv(region.end[k] - region.begin[k], step[k]));
  const std::vector<uint64_t> at = IndexOf(number, boxes);
  RoleBox box;
  for (size_t k = 0; k < step.size(); ++k) {
    box.begin.push_back(region.begin[k] + at[k] * step[k]);
    box.end.push_back(std::min(region.end[k], box.begin[k] + step[k]));
  }
  return box;
}

RoleBox FirstBox(const RoleBox& region, std::span<const uint64_t> step) {
  RoleBox box = region;
  for (size_t k = 0; k < step.size(); ++k)
    box.end[k] = std::min(region.end[k], region.begin[k] + step[k]);
  return box;
}

BoxGrid CutRegion(const RoleBox& region, const BoxWishes& wishes) {
  BoxGrid grid{region, {}};
  for (size_t k = 0; k < region.begin.size(); ++k) {
    const uint64_t extent = std::max<uint64_t>(1, region.end[k] - region.begin[k]);
    grid.step.push_back(wishes.most.empty() ? extent : std::min(extent, wishes.most[k]));
  }
  if (grid.Count() == 0) return grid;
  while (!wishes.fits(FirstBox(region, grid.step))) {
    std::optional<size_t> best;
    double best_cost = 0;
    for (size_t k = 0; k < grid.step.size(); ++k) {
      if (grid.step[k] == 1) continue;
      std::vector<uint64_t> step = grid.step;
      step[k] = Smaller(step[k], wishes.grain[k]);
      const double cost = CostPerElement(FirstBox(region, step), wishes);
      if (best && cost >= best_cost) continue;
      best = k;
      best_cost = cost;
    }
    CKPT_CHECK(best.has_value());
    grid.step[*best] = Smaller(grid.step[*best], wishes.grain[*best]);
  }
  return grid;
}

}  // namespace ckpt
