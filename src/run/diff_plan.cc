#include "run/diff_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/checked.h"
#include "base/index.h"
#include "base/units.h"
#include "kernel/convert.h"
#include "plan/memory.h"
#include "run/kernel_faults.h"
#include "run/role_reader.h"
#include "run/ulp.h"
#include "source/box_reader.h"
#include "source/reader_pool.h"

namespace ckpt {
namespace {

// A role with its pair, its outcome, its names and its views.
constexpr uint64_t kRoleBytes = 2 * kKiB;
constexpr uint64_t kOpenReaderBytes = 2 * kKiB;
// Another lane pays only where boxes stay large enough for whole runs of a disk.
constexpr uint64_t kLeastSharedBoxBytes = 4 * kMiB;
constexpr uint64_t kLeastBoxBytes = kMiB;

const BoundRole& BoundOf(const RolePair& pair, size_t side) {
  return side == 0 ? *pair.a : *pair.b;
}

const TensorEntry& TensorIn(const DiffSide& side, const BoundRole& bound) {
  return side.catalog->tensors[bound.tensor];
}

// What a side's values are, once computed.
DType ValueType(DType stored) {
  return HasUlps(stored) && stored != DType::kF64 ? stored : DType::kF32;
}

// Fills the plan's arithmetic. All types that cannot be read at once.
Result<void> ChooseArithmetic(DiffPlan& plan) {
  std::map<DType, std::vector<std::string>> unreadable;
  plan.arithmetic.resize(plan.pairs.size());
  for (size_t i = 0; i < plan.pairs.size(); ++i) {
    const RolePair& pair = plan.pairs[i];
    if (!pair.IsCompared()) continue;
    const DType a = TensorIn(plan.sides[0], *pair.a).dtype;
    const DType b = TensorIn(plan.sides[1], *pair.b).dtype;
    if (a == b && HasUlps(a) && pair.a->value == pair.b->value) {
      plan.arithmetic[i] = {true, a};
      continue;
    }
    for (size_t side = 0; side < 2; ++side) {
      const TensorEntry& tensor = TensorIn(plan.sides[side], BoundOf(pair, side));
      if (FindConvert(tensor.dtype, DType::kF32) == nullptr)
        unreadable[tensor.dtype].push_back(tensor.name);
    }
    plan.arithmetic[i] = {false, CoarserType(ValueType(a), ValueType(b))};
  }
  return RefuseUnreadable(unreadable);
}

// What boxes of a role should be multiples of, so that no chunk or block is read for two of them.
std::vector<uint64_t> GrainOf(const TensorEntry& tensor, const View& view) {
  const std::vector<size_t> axes = SourceAxes(view);
  const std::vector<uint64_t> whole = RowMajor(view.tensor.extents);
  std::vector<uint64_t> grain(axes.size(), 1);
  for (size_t k = 0; k < axes.size(); ++k) {
    if (view.tensor.rank() == 0) break;
    const uint64_t step = view.strides[k] / whole[axes[k]];
    uint64_t unit = 1;
    if (tensor.chunked != nullptr) {
      unit = tensor.chunked->chunk[axes[k]];
    } else if (axes[k] + 1 == view.tensor.rank()) {
      unit = Info(tensor.dtype).block_elements;
    }
    if (step > 0 && unit % step == 0) grain[k] = unit / step;
  }
  return grain;
}

BoxGrid Cut(const DiffPlan& plan, const RolePair& pair, const RoleBox& region,
            std::initializer_list<size_t> sides) {
  BoxWishes wishes;
  wishes.most.assign(region.begin.size(), UINT64_MAX);
  wishes.grain.assign(region.begin.size(), 1);
  for (const size_t side : sides) {
    const BoundRole& bound = BoundOf(pair, side);
    if (bound.parts_axis) wishes.most[*bound.parts_axis] = 1;
    const std::vector<uint64_t> grain = GrainOf(TensorIn(plan.sides[side], bound), bound.view);
    for (size_t k = 0; k < grain.size(); ++k) wishes.grain[k] = std::max(wishes.grain[k], grain[k]);
  }
  wishes.fits = [&](const RoleBox& box) {
    return std::all_of(sides.begin(), sides.end(), [&](size_t side) {
      return RoleBoxBytes(*plan.sides[side].catalog, BoundOf(pair, side), box) <=
             plan.memory.box_bytes;
    });
  };
  wishes.cost = [&](const RoleBox& box) {
    uint64_t bytes = 0;
    for (const size_t side : sides)
      bytes += TouchedBytes(*plan.sides[side].catalog, BoundOf(pair, side), box);
    return bytes;
  };
  return CutRegion(region, wishes);
}

void CutTasks(DiffPlan& plan) {
  for (size_t i = 0; i < plan.pairs.size(); ++i) {
    const RolePair& pair = plan.pairs[i];
    if (!pair.IsCompared() || pair.same_as) continue;
    plan.tasks.push_back({i, Cut(plan, pair, pair.common, {0, 1}), false});
    if (!pair.HasMore()) continue;
    const size_t side = pair.is_more_a ? 0 : 1;
    plan.tasks.push_back({i, Cut(plan, pair, pair.more, {side}), true});
  }
  for (const DiffTask& task : plan.tasks)
    plan.totals.read_bytes += StoredBytes(plan, task, task.grid.region);
}

class DiffFitter {
 public:
  DiffFitter(const DiffPlan& plan, const Resources& resources) : plan_(plan) {
    fixed_bytes_ = resources.source_held_bytes;
    for (const DiffSide& side : plan.sides)
      fixed_bytes_ += MemoryBytes(*side.catalog) + side.model->roles.size() * kRoleBytes +
                      ReaderPool::kMostOpen * kOpenReaderBytes;
  }

  std::optional<DiffMemory> Fit(uint64_t budget, unsigned threads) const {
    if (budget <= fixed_bytes_) return std::nullopt;
    for (unsigned lanes = std::max(1U, threads); lanes >= 1; --lanes) {
      DiffMemory memory;
      memory.budget_bytes = budget;
      memory.lanes = lanes;
      memory.fixed_bytes = fixed_bytes_;
      const uint64_t share = (budget - fixed_bytes_) / lanes;
      for (size_t side = 0; side < 2; ++side) FitWindow(share / 4, side, memory);
      const uint64_t beside = memory.lane_bytes();
      if (beside >= share) continue;
      memory.box_bytes =
          RoundDown(std::min(kMostBoxBytes, (share - beside) / kBoxBuffers), kIoAlignment);
      if (memory.box_bytes >= (lanes > 1 ? kLeastSharedBoxBytes : kLeastBoxBytes)) return memory;
    }
    return std::nullopt;
  }

 private:
  void FitWindow(uint64_t most, size_t side, DiffMemory& memory) const {
    most = std::max(most, kLeastBoxWindowBytes);
    uint64_t& window = memory.window_bytes[side];
    window = kLeastBoxWindowBytes;
    for (const TensorEntry& tensor : plan_.sides[side].catalog->tensors) {
      // A reader takes at most half of its budget's limit.
      window = std::max(window, BoxWindowBytes(tensor, 2 * most));
      if (tensor.chunked != nullptr) memory.decompressor_bytes[side] = kDecompressorBytes;
    }
  }

  const DiffPlan& plan_;
  uint64_t fixed_bytes_ = 0;
};

Result<DiffMemory> FitDiff(const DiffPlan& plan, const Resources& resources) {
  const DiffFitter fitter(plan, resources);
  Result<DiffMemory> memory = FitBudget<DiffMemory>(
      resources, [&](uint64_t budget, unsigned threads) { return fitter.Fit(budget, threads); });
  if (memory) return memory;
  Error error = std::move(memory).error();
  // The same words as for a conversion, whose budget this is.
  if (const size_t at = error.what.find("conversion"); at != std::string::npos)
    error.what.replace(at, std::string_view("conversion").size(), "comparison");
  return Fail(std::move(error));
}

}  // namespace

uint64_t DiffMemory::lane_bytes() const {
  return kBoxBuffers * box_bytes + kDiffScratchBytes + window_bytes[0] + window_bytes[1] +
         decompressor_bytes[0] + decompressor_bytes[1];
}

uint64_t StoredBytes(const DiffPlan& plan, const DiffTask& task, const RoleBox& box) {
  double elements = 1;
  for (size_t k = 0; k < box.begin.size(); ++k)
    elements *= static_cast<double>(box.end[k] - box.begin[k]);
  const RolePair& pair = plan.pairs[task.pair];
  double bytes = 0;
  for (size_t side = 0; side < 2; ++side) {
    if (task.is_more && pair.is_more_a != (side == 0)) continue;
    bytes += elements * BitsPerElement(TensorIn(plan.sides[side], BoundOf(pair, side)).dtype) / 8;
  }
  return static_cast<uint64_t>(bytes);
}

Result<DiffPlan> PlanDiff(const DiffSide& a, const DiffSide& b, const Resources& resources,
                          uint64_t most_box_bytes) {
  DiffPlan plan;
  plan.sides = {a, b};
  CKPT_TRY(plan.pairs, MatchRoles(*a.model, *b.model));
  CKPT_TRY_VOID(ChooseArithmetic(plan));
  CKPT_TRY(plan.memory, FitDiff(plan, resources));
  plan.memory.box_bytes = std::min(plan.memory.box_bytes, RoundUp(most_box_bytes, kIoAlignment));
  CutTasks(plan);
  return plan;
}

}  // namespace ckpt
