#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

/// Meta's folders: consolidated.00.pth, consolidated.01.pth ..., one per model-parallel rank, with
/// params.json and checklist.chk. Each file holds the same names; each tensor is a part of the
/// model's.
namespace ckpt {

/// 3 for "a/consolidated.03.pth"; nothing for other names.
std::optional<uint32_t> ConsolidatedNumber(std::string_view name);

/// The shards among `here`, in order of their numbers; empty where there are none. kBadInput naming
/// the numbers that are missing: between those that are there, or that checklist.chk lists.
Result<std::vector<ObjectInfo>> FindConsolidated(Store& store, std::span<const ObjectInfo> here);

/// The catalog of these shards, format "meta-consolidated". One shard is a model by itself; of
/// several the parts stand in Catalog::shards, for model/shards.h to join. Vectors, which Meta's
/// ranks hold each in full, are compared as long as they are few: over 0.01 + 0.00001 |b| apart is
/// an error with the largest difference, less is a warning, and the first shard's count. Errors:
/// kBadInput for float8 weights (405B's FP8 edition keeps their scales
/// elsewhere), and for names, dtypes or ranks that differ between shards, naming both files.
Result<Catalog> ReadConsolidated(Store& store, std::vector<ObjectInfo> files, MemoryBudget& budget);

}  // namespace ckpt
