#pragma once

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/orbax/item.h"
#include "source/orbax/key_table.h"

namespace ckpt {

inline constexpr std::string_view kOcdbtManifestName = "manifest.ocdbt";

/// Reads an item's OCDBT database, whose latest version it takes, into `keys` (empty). A wrong
/// count of keys is only a warning: the readers that wrote it do not notice either. Errors:
/// kBadInput with file and byte: damaged manifest or node, missing or short data file, numbered
/// state missing, tree too large or out of order; kResources; those of the store.
Result<void> ReadDatabase(OrbaxItem& item, MemoryBudget& budget, KeyTable& keys,
                          std::vector<std::string>& warnings);

}  // namespace ckpt
