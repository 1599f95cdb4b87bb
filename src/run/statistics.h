#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/float.h"
#include "base/memory_budget.h"
#include "plan/plan.h"

namespace ckpt {

/// Column maxima of the arrays that are quantized by column: collected by all lanes, then fixed,
/// then read.
class StatisticTable {
 public:
  /// Makes a row of zeros for each such array, granted by `budget`.
  static Result<StatisticTable> Make(const Plan& plan, MemoryBudget& budget);

  /// Thread-safe. Joins the maxima of some rows (bits of |bf16|) into those of `array`.
  void Merge(size_t array, std::span<const uint16_t> column_max);
  /// Turns maxima into scales and reciprocals. After all Merges, before any of the reads below;
  /// again after more of them.
  void Fix();

  std::span<const BF16> Scales(size_t array) const { return columns_.at(array).scales; }
  std::span<const BF16> Reciprocals(size_t array) const { return columns_.at(array).reciprocals; }

 private:
  struct Columns {
    int bits = 8;
    std::vector<uint16_t> max;
    std::vector<BF16> scales;
    std::vector<BF16> reciprocals;
  };
  std::map<size_t, Columns> columns_;
  std::unique_ptr<std::mutex> mutex_ =
      std::make_unique<std::mutex>();  // behind a pointer: the table moves
  Grant grant_;
};

}  // namespace ckpt
