#pragma once

#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// One GGUF file, or all parts of a split set in order of number. format "gguf"; the first part's
/// keys are the config. A set must say of itself what its names say: split.count, split.no,
/// split.tensors.count. Errors: kBadInput with file, key, tensor, byte; kResources if the budget
/// has no room for the header; those of the store.
Result<Catalog> ReadGguf(Store& store, std::vector<ObjectInfo> parts, MemoryBudget& budget);

}  // namespace ckpt
