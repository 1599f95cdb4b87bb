#pragma once

#include <string_view>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// PyTorch files whose names are disjoint: one file, all parts of a set without an index, or the
/// pieces of a checkpoint. format "torch-zip" or "torch-legacy", as the first file is. Errors:
/// kBadInput with file, record, tensor, byte (a name in two files names both); kResources; those of
/// the store.
Result<Catalog> ReadTorch(Store& store, std::vector<ObjectInfo> files, MemoryBudget& budget);

/// pytorch_model.bin.index.json and the files it lists (source/sharded_index.h). format
/// "torch-index".
Result<Catalog> ReadTorchIndex(Store& store, std::string_view name, MemoryBudget& budget);

}  // namespace ckpt
