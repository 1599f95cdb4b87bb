#include "run/role_diff.h"

#include <algorithm>
#include <memory>
#include <mutex>

#include "base/check.h"
#include "base/index.h"
#include "kernel/convert.h"
#include "run/apply_values.h"
#include "run/crew.h"
#include "run/role_reader.h"
#include "source/reader_pool.h"

namespace ckpt {
namespace {

// A box of a task.
struct DiffBox {
  const DiffTask* task = nullptr;  // null at the end
  RoleBox box;
};

// What one box came to.
struct BoxFigures {
  UlpFigures figures;
  bool is_zero = true;
};

// The boxes that are left, and what became of the others. Thread-safe.
class DiffBoard {
 public:
  explicit DiffBoard(const DiffPlan& plan) : plan_(plan) {
    result_.outcomes.resize(plan.pairs.size());
  }

  DiffBox Next() {
    const std::lock_guard lock(mutex_);
    while (task_ < plan_.tasks.size()) {
      const DiffTask& task = plan_.tasks[task_];
      if (box_ < task.grid.Count()) return {&task, task.grid.At(box_++)};
      ++task_;
      box_ = 0;
    }
    return {};
  }

  // Boxes come in any order; of equally large differences the first in the role is kept.
  void Add(const DiffBox& box, const BoxFigures& found) {
    const UlpFigures& add = found.figures;
    std::vector<uint64_t> index;
    if (add.different > 0) {
      std::vector<uint64_t> extents;
      for (size_t k = 0; k < box.box.begin.size(); ++k)
        extents.push_back(box.box.end[k] - box.box.begin[k]);
      index = IndexOf(add.worst, extents);
      for (size_t k = 0; k < index.size(); ++k) index[k] += box.box.begin[k];
    }
    const std::lock_guard lock(mutex_);
    RoleOutcome& outcome = result_.outcomes[box.task->pair];
    UlpFigures& sum = outcome.figures;
    outcome.is_more_zero = outcome.is_more_zero && found.is_zero;
    const bool is_worse =
        add.ulps > sum.ulps || (add.ulps == sum.ulps && index < outcome.worst_index);
    if (add.different > 0 && (sum.different == 0 || is_worse)) {
      outcome.worst_index = std::move(index);
      sum.worst_a = add.worst_a;
      sum.worst_b = add.worst_b;
    }
    sum.elements += add.elements;
    sum.different += add.different;
    sum.nans += add.nans;
    sum.ulps = std::max(sum.ulps, add.ulps);
    sum.difference = std::max(sum.difference, add.difference);
  }

  void AddRequested(uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    result_.requested_bytes += bytes;
  }

  // Once no lane runs.
  DiffResult Take() {
    for (size_t i = 0; i < plan_.pairs.size(); ++i) {
      if (plan_.pairs[i].same_as) result_.outcomes[i] = result_.outcomes[*plan_.pairs[i].same_as];
    }
    return std::move(result_);
  }

 private:
  const DiffPlan& plan_;
  std::mutex mutex_;
  size_t task_ = 0;
  uint64_t box_ = 0;
  DiffResult result_;
};

// A role's elements as numbers of one type, some at a time.
class ElementSteps {
 public:
  // `scratch`: 2 * kDiffStep floats. All outlive this.
  ElementSteps(const DiffSide& side, const BoundRole& bound, const DiffArithmetic& arithmetic,
               const std::byte* elements, std::byte* scratch)
      : laid_(LaidType(*side.catalog, bound)),
        value_(bound.value),
        type_(arithmetic.type),
        is_as_it_is_(arithmetic.is_as_stored || (bound.value.empty() && laid_ == type_)),
        to_f32_(FindConvert(laid_, DType::kF32)),
        elements_(elements),
        floats_(reinterpret_cast<float*>(scratch)),
        rounded_(scratch + kDiffStep * sizeof(float)) {}

  // `count` elements from number `first` on, valid until the next call.
  const std::byte* At(uint64_t first, uint64_t count) const {
    const std::byte* from = elements_ + first * ElementBytes(laid_);
    if (is_as_it_is_) return from;
    to_f32_(from, reinterpret_cast<std::byte*>(floats_), count);
    ApplyValues(value_, floats_, count);
    RoundTo(type_, floats_, rounded_, count);
    return rounded_;
  }

 private:
  const DType laid_;
  const ValueProgram& value_;
  const DType type_;
  const bool is_as_it_is_;
  const ConvertFn to_f32_;
  const std::byte* elements_;
  float* floats_;
  std::byte* rounded_;
};

uint64_t ElementsIn(const RoleBox& box) {
  uint64_t elements = 1;
  for (size_t k = 0; k < box.begin.size(); ++k) elements *= box.end[k] - box.begin[k];
  return elements;
}

// What one lane holds: its buffers, and a reader of each side.
class DiffLane {
 public:
  static Result<std::unique_ptr<DiffLane>> Make(const DiffPlan& plan,
                                                std::array<ReaderPool, 2>& pools,
                                                MemoryBudget& budget, const std::stop_token& stop) {
    const DiffMemory& memory = plan.memory;
    std::unique_ptr<DiffLane> lane(
        new DiffLane(plan));  // NOLINT(cppcoreguidelines-owning-memory): the constructor is private
    CKPT_TRY(Grant grant, budget.Acquire(kBoxBuffers * memory.box_bytes + kDiffScratchBytes, stop));
    CKPT_TRY(lane->arena_, Buffer::Allocate(std::move(grant)));
    for (size_t side = 0; side < 2; ++side) {
      CKPT_TRY(lane->window_grants_[side],
               budget.Acquire(memory.window_bytes[side] + memory.decompressor_bytes[side], stop));
      // The window is granted above; a reader takes at most half of what it is shown.
      lane->windows_[side] = std::make_unique<MemoryBudget>(2 * memory.window_bytes[side]);
      const auto buffer = [&](size_t i) {
        return lane->arena_.span((2 * side + i) * memory.box_bytes, memory.box_bytes);
      };
      lane->readers_[side] = std::make_unique<RoleReader>(*plan.sides[side].catalog, pools[side],
                                                          *lane->windows_[side], stop,
                                                          std::array{buffer(0), buffer(1)});
    }
    lane->scratch_ = lane->arena_.span(kBoxBuffers * memory.box_bytes, kDiffScratchBytes);
    return lane;
  }

  Result<void> Run(DiffBoard& board, Progress& progress, const std::stop_token& stop) {
    while (true) {
      if (stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
      const DiffBox box = board.Next();
      if (box.task == nullptr) break;
      CKPT_TRY(const BoxFigures found, box.task->is_more ? TestZeros(box) : Compare(box));
      board.Add(box, found);
      progress.read_bytes += StoredBytes(plan_, *box.task, box.box);
    }
    board.AddRequested(readers_[0]->requested_bytes() + readers_[1]->requested_bytes());
    return {};
  }

 private:
  explicit DiffLane(const DiffPlan& plan) : plan_(plan) {}

  Result<BoxFigures> Compare(const DiffBox& box) {
    const RolePair& pair = plan_.pairs[box.task->pair];
    const DiffArithmetic& arithmetic = plan_.arithmetic[box.task->pair];
    const std::array<const BoundRole*, 2> bound = {pair.a, pair.b};
    std::array<const std::byte*, 2> elements{};
    for (size_t side = 0; side < 2; ++side)
      CKPT_TRY_VOID(readers_[side]->Start(*bound[side], box.box));
    for (size_t side = 0; side < 2; ++side) {
      CKPT_TRY(elements[side], readers_[side]->Finish());
    }
    const ElementSteps a(plan_.sides[0], *pair.a, arithmetic, elements[0], scratch_.data());
    const ElementSteps b(plan_.sides[1], *pair.b, arithmetic, elements[1],
                         scratch_.data() + kDiffScratchBytes / 2);
    BoxFigures found;
    const uint64_t count = ElementsIn(box.box);
    for (uint64_t at = 0; at < count; at += kDiffStep) {
      const uint64_t step = std::min(kDiffStep, count - at);
      CompareElements(arithmetic.type, a.At(at, step), b.At(at, step), step, at, found.figures);
    }
    return found;
  }

  Result<BoxFigures> TestZeros(const DiffBox& box) {
    const RolePair& pair = plan_.pairs[box.task->pair];
    const size_t side = pair.is_more_a ? 0 : 1;
    const BoundRole& bound = pair.is_more_a ? *pair.a : *pair.b;
    CKPT_TRY_VOID(readers_[side]->Start(bound, box.box));
    CKPT_TRY(const std::byte* const elements, readers_[side]->Finish());
    const DiffArithmetic in_f32{false, DType::kF32};
    const ElementSteps steps(plan_.sides[side], bound, in_f32, elements, scratch_.data());
    BoxFigures found;
    const uint64_t count = ElementsIn(box.box);
    for (uint64_t at = 0; at < count && found.is_zero; at += kDiffStep) {
      const uint64_t step = std::min(kDiffStep, count - at);
      found.is_zero = AreZeros(DType::kF32, steps.At(at, step), step);
    }
    return found;
  }

  const DiffPlan& plan_;
  Buffer arena_;
  std::span<std::byte> scratch_;
  std::array<Grant, 2> window_grants_;
  std::array<std::unique_ptr<MemoryBudget>, 2> windows_;
  std::array<std::unique_ptr<RoleReader>, 2> readers_;  // last: their reads fill the arena
};

}  // namespace

bool IsDifferent(const RolePair& pair, const RoleOutcome& outcome) {
  if (pair.a == nullptr || pair.b == nullptr) return !pair.is_unplaced;
  return pair.has_other_shape || outcome.figures.different > 0 || !outcome.is_more_zero;
}

Result<DiffResult> RunDiff(const DiffPlan& plan, Progress& progress, Watch& watch) {
  MemoryBudget budget(plan.memory.budget_bytes);
  const std::stop_token stop = watch.stop.get_token();
  CKPT_TRY(const Grant fixed, budget.Acquire(plan.memory.fixed_bytes, stop));
  std::array<ReaderPool, 2> pools = {ReaderPool(*plan.sides[0].store, *plan.sides[0].catalog),
                                     ReaderPool(*plan.sides[1].store, *plan.sides[1].catalog)};
  DiffBoard board(plan);
  CKPT_TRY_VOID(RunCrew(
      plan.memory.lanes,
      [&](size_t) -> Result<void> {
        CKPT_TRY(const std::unique_ptr<DiffLane> lane, DiffLane::Make(plan, pools, budget, stop));
        return lane->Run(board, progress, stop);
      },
      progress, watch));
  DiffResult result = board.Take();
  result.granted_peak_bytes = budget.peak_bytes();
  return result;
}

}  // namespace ckpt
