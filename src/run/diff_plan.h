#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "plan/plan_base.h"
#include "run/box_grid.h"
#include "run/role_match.h"
#include "store/store.h"

namespace ckpt {

/// One of two checkpoints that are compared. What it names outlives the comparison.
struct DiffSide {
  Store* store = nullptr;
  const Catalog* catalog = nullptr;
  const Model* model = nullptr;
};

/// In what the elements of a pair are compared.
struct DiffArithmetic {
  /// Both sides store the role in the same type by the same arithmetic: what is stored is compared
  /// as it is. Else each side's values are computed in float32 (its conversion, then its
  /// arithmetic) and rounded to `type`.
  bool is_as_stored = false;
  DType type = DType::kF32;  ///< the coarser of both sides' types; ULPs are its
};

/// A part of a pair that is read box by box.
struct DiffTask {
  size_t pair = 0;
  BoxGrid grid;
  /// False: both sides' boxes are compared; true: rows that one side alone has are held to be
  /// zeros.
  bool is_more = false;
};

/// Buffers of one box in each lane: two for each side.
inline constexpr uint64_t kBoxBuffers = 4;
/// Elements that are converted at once, and a lane's room for them: of each side as float32, and
/// rounded.
inline constexpr uint64_t kDiffStep = 4096;
inline constexpr uint64_t kDiffScratchBytes = 4 * kDiffStep * sizeof(float);

struct DiffMemory {
  uint64_t budget_bytes = 0;
  unsigned lanes = 1;
  std::array<uint64_t, 2> window_bytes{};        ///< of each side's reader, in each lane
  std::array<uint64_t, 2> decompressor_bytes{};  ///< beside that window
  uint64_t box_bytes = 0;                        ///< of each of a lane's kBoxBuffers
  uint64_t fixed_bytes = 0;                      ///< catalogs, models, what stores hold
  uint64_t lane_bytes() const;
  uint64_t peak_bytes() const { return fixed_bytes + lanes * lane_bytes(); }
};

/// A comparison before anything but headers is read.
struct DiffPlan {
  std::array<DiffSide, 2> sides;
  std::vector<RolePair> pairs;
  std::vector<DiffArithmetic> arithmetic;  ///< by pair; of meaning for those that are compared
  std::vector<DiffTask> tasks;             ///< in the order of the pairs
  DiffMemory memory;
  Totals totals;  ///< read_bytes: of all elements that are compared, on both sides, once each
};

/// Bytes in which a box of a task is stored, on the sides that it is read from.
uint64_t StoredBytes(const DiffPlan& plan, const DiffTask& task, const RoleBox& box);

/// The size of a box's buffers where the memory is not what limits it.
inline constexpr uint64_t kMostBoxBytes = 32ULL << 20U;

/// Pairs the roles of two models and cuts them to the memory there is. `most_box_bytes`: of a
/// buffer; small for tests, at least 8 KiB and 256 elements. Errors: those of MatchRoles; kBadInput
/// for types that cannot be read, all at once; kUsage or kResources where the budget is too small,
/// with the least that would do.
Result<DiffPlan> PlanDiff(const DiffSide& a, const DiffSide& b, const Resources& resources,
                          uint64_t most_box_bytes = kMostBoxBytes);

}  // namespace ckpt
