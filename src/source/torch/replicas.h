#pragma once

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// Compares the vectors and scalars of Catalog::shards, which all ranks hold in full, as
/// ReadConsolidated says. Adds what it reads to header_bytes, and warnings. For source/torch/ only.
Result<void> CompareReplicas(Store& store, Catalog& catalog, MemoryBudget& budget);

}  // namespace ckpt
