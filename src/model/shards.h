#pragma once

#include <memory>
#include <span>

#include "base/result.h"
#include "model/family.h"
#include "source/catalog.h"

namespace ckpt {

/// Joins Catalog::shards into Catalog::tensors: each tensor becomes one of several pieces, cut
/// along the axis that its family's `meta` cell names (shard_axis). Where a matrix has none there
/// (the embedding, which Llama 2 cuts along the width and Llama 3 along the vocabulary), its shape
/// against params.json tells the axis. Vectors are the first shard's, as are tensors that the
/// family does not know (BindModel reports those). Where key and value heads are fewer than shards,
/// ranks hold copies: the parts then sum up to r times what params.json says, and every r-th shard
/// is taken (405B in 16). Does nothing for a catalog without shards. Errors: kBadInput: no
/// params.json; a family without such a scheme; an embedding whose axis cannot be told, with both
/// shapes.
Result<void> JoinShards(std::span<const std::shared_ptr<const Family>> families,
                        const std::string& forced_family, Catalog& catalog);

}  // namespace ckpt
