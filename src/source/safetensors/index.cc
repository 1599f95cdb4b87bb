#include <utility>

#include "source/safetensors/reader.h"
#include "source/safetensors/shard.h"
#include "source/sharded_index.h"

namespace ckpt {

Result<Catalog> ReadSafetensorsIndex(Store& store, std::string_view name, MemoryBudget& budget) {
  const auto read = [&](const ObjectInfo& object, uint32_t number) -> Result<ShardContents> {
    CKPT_TRY(SafetensorsShard shard, ReadShard(store, object, budget));
    ShardContents contents;
    contents.header_bytes = shard.data_begin;
    if (shard.header.metadata) contents.metadata = *std::move(shard.header.metadata);
    for (safetensors::Tensor& tensor : shard.header.tensors)
      contents.tensors.push_back(ShardEntry(std::move(tensor), number, shard.data_begin));
    return contents;
  };
  return ReadShardedIndex(store, name, "safetensors-index", read, budget);
}

}  // namespace ckpt
