#pragma once

#include <span>
#include <string>

#include "base/memory_budget.h"
#include "plan/chunked_target.h"
#include "plan/plan.h"
#include "run/journal.h"
#include "store/store.h"

namespace ckpt {

/// Forgets bundles of the unfinished files whose records are damaged. With `is_reading` what
/// earlier runs wrote is read again too, and bundles whose bytes are not those recorded are
/// forgotten; where a store's unfinished objects cannot be read (buckets hold their checksums
/// themselves) the records must do.
Result<void> DropDamaged(const Plan& plan, Store& destination, Journal& journal,
                         std::span<const std::string> sessions, bool is_reading,
                         MemoryBudget& budget);

/// Forgets recorded bundles whose data files are missing, of another size or, where the store's
/// listing tells it, of another CRC-32C; with `is_reading` also those whose chunks are not what was
/// recorded. `folders`: by output, where its objects lie now.
Result<void> DropLost(const ChunkedPlan& plan, const ChunkedTarget& target, Store& destination,
                      std::span<const std::string> folders, Journal& journal, bool is_reading,
                      MemoryBudget& budget);

}  // namespace ckpt
