#pragma once

#include "base/memory_budget.h"
#include "base/result.h"
#include "format/safetensors/header.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// One file's header, and where its data begins.
struct SafetensorsShard {
  safetensors::Header header;
  uint64_t data_begin = 0;  ///< also the bytes that were needed of the file
};

/// Reads and checks the header with at most two reads: the first kFirstReadBytes, then the rest of
/// the header. Errors: kBadInput with file, tensor, byte; kResources if the budget has no room for
/// the header; those of the store.
Result<SafetensorsShard> ReadShard(Store& store, const ObjectInfo& object, MemoryBudget& budget);

/// `tensor` of the shard that is `catalog.objects[object]`.
TensorEntry ShardEntry(safetensors::Tensor tensor, uint32_t object, uint64_t data_begin);

}  // namespace ckpt
