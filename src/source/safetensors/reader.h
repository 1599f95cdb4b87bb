#pragma once

#include <string_view>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// One safetensors file, or a complete set without an index; all tensors of all files. format
/// "safetensors". Errors: kBadInput with file, tensor, byte (a name in two files names both);
/// kResources; those of the store.
Result<Catalog> ReadSafetensors(Store& store, std::vector<ObjectInfo> files, MemoryBudget& budget);

/// The shards that the index file `name` lists, relative to its folder. format "safetensors-index".
/// Index and headers must agree: every shard is there and holds the tensors that the map says (all
/// that is wrong is reported at once). Tensors of a shard that the map does not give to it are left
/// out with a warning, as loaders do; a wrong total_size is a warning.
Result<Catalog> ReadSafetensorsIndex(Store& store, std::string_view name, MemoryBudget& budget);

}  // namespace ckpt
