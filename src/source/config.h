#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// The largest config file that is read; real ones have some KB.
inline constexpr uint64_t kMaxConfigBytes = 16ULL << 20U;
/// What the flattened values of one file may take: a key is repeated for every item of its list.
inline constexpr uint64_t kMaxConfigValueBytes = 32ULL << 20U;

/// A JSON object flattened as SourceConfig says. Nulls and empty objects leave no value; integers
/// beyond int64 become doubles. Errors: kBadInput with byte and key: no JSON object, a key twice,
/// more than kMaxConfigValueBytes.
Result<SourceConfig> FlattenConfig(std::string kind, std::string object, std::string text);

/// config.json ("hf") and params.json ("meta") of `folder` ("" or with its '/'), those that are
/// there. Errors: as FlattenConfig, with the file; kBadInput over kMaxConfigBytes.
Result<std::vector<SourceConfig>> ReadConfigs(Store& store, std::string_view folder,
                                              MemoryBudget& budget);

}  // namespace ckpt
