#pragma once

#include <span>
#include <string>

#include "cli/conversion.h"
#include "cli/shard.h"
#include "plan/shards.h"

namespace ckpt {

/// How evenly a conversion falls to its shards: bytes read and written by each.
struct ShardBalance {
  uint64_t least_bytes = 0;
  uint64_t mean_bytes = 0;
  uint64_t most_bytes = 0;
  uint64_t largest_bundle_bytes = 0;
};
ShardBalance BalanceOf(std::span<const ShardPart> parts);

/// The plan as a table for people, with a row for the shard or for all shards where the words split
/// the conversion.
std::string PlanTextOf(const Conversion& conversion, const ShardChoice& shard);
/// The plan as one JSON object, with "shards" there: count, index (or null), the balance, and what
/// each part has.
std::string PlanJsonOf(const Conversion& conversion, const ShardChoice& shard);

}  // namespace ckpt
