#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// What one shard holds by its own word.
struct ShardContents {
  std::vector<TensorEntry> tensors;
  std::vector<StoredCheck> checks;
  std::vector<std::string> warnings;
  std::map<std::string, std::string> metadata;
  uint64_t header_bytes = 0;
};
/// Reads the shard that is Catalog::objects[object].
using ReadShardContents =
    std::function<Result<ShardContents>(const ObjectInfo& shard, uint32_t object)>;

/// The shards that the index file `name` (model.safetensors.index.json,
/// pytorch_model.bin.index.json) lists, relative to its folder. Index and shards must agree: every
/// shard is there and holds the tensors that the map says (all that is wrong is reported at once).
/// Tensors of a shard that the map does not give to it are left out with a warning, as loaders do;
/// a wrong total_size is a warning.
Result<Catalog> ReadShardedIndex(Store& store, std::string_view name, std::string format,
                                 const ReadShardContents& read, MemoryBudget& budget);

}  // namespace ckpt
