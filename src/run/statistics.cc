#include "run/statistics.h"

#include <algorithm>

#include "base/check.h"
#include "kernel/quantize.h"

namespace ckpt {

Result<StatisticTable> StatisticTable::Make(const Plan& plan, MemoryBudget& budget) {
  StatisticTable table;
  CKPT_TRY(table.grant_, budget.Acquire(plan.memory.statistics_bytes));
  for (size_t i = 0; i < plan.arrays.size(); ++i) {
    if (plan.output.arrays[i].encoding != Encoding::kQuantColumns) continue;
    Columns& columns = table.columns_[i];
    columns.bits = plan.output.arrays[i].bits;
    columns.max.resize(plan.arrays[i].rows.row_elements);
  }
  return table;
}

void StatisticTable::Merge(size_t array, std::span<const uint16_t> column_max) {
  const std::lock_guard lock(*mutex_);
  std::vector<uint16_t>& max = columns_.at(array).max;
  CKPT_CHECK(max.size() == column_max.size());
  for (size_t i = 0; i < max.size(); ++i) max[i] = std::max(max[i], column_max[i]);
}

void StatisticTable::Fix() {
  for (auto& [array, columns] : columns_) {
    columns.scales.clear();
    columns.reciprocals.clear();
    for (const uint16_t bits : columns.max) {
      const QuantScale scale = ScaleOf(bits, columns.bits);
      columns.scales.push_back(scale.scale);
      columns.reciprocals.push_back(scale.reciprocal);
    }
  }
}

}  // namespace ckpt
