#include "source/safetensors/reader.h"

#include <utility>

#include "source/safetensors/shard.h"

namespace ckpt {

Result<Catalog> ReadSafetensors(Store& store, std::vector<ObjectInfo> files, MemoryBudget& budget) {
  Catalog catalog;
  catalog.format = "safetensors";
  catalog.root = store.root();
  catalog.objects = std::move(files);
  for (uint32_t object = 0; object < catalog.objects.size(); ++object) {
    CKPT_TRY(SafetensorsShard shard, ReadShard(store, catalog.objects[object], budget));
    catalog.header_bytes += shard.data_begin;
    if (object == 0 && shard.header.metadata) catalog.metadata = *std::move(shard.header.metadata);
    for (safetensors::Tensor& tensor : shard.header.tensors)
      catalog.tensors.push_back(ShardEntry(std::move(tensor), object, shard.data_begin));
  }
  CKPT_TRY_VOID(SortTensors(catalog));
  return catalog;
}

}  // namespace ckpt
