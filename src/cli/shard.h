#pragma once

#include <string>

#include "base/environment.h"
#include "cli/faults.h"

namespace ckpt {

/// --shard and --shards, as given; "" where they were not.
struct ShardWords {
  std::string shard;   ///< "I/N" or "auto"
  std::string shards;  ///< "N"
  /// False for verbs that look at all parts, or run elsewhere: --shards N then needs no index, and
  /// none is looked for.
  bool needs_index = true;
};

/// Which part of a conversion this process does.
struct ShardChoice {
  unsigned index = 0;     ///< from 0
  unsigned count = 1;     ///< 1: all of it
  bool has_index = true;  ///< false: all `count` parts are meant, no one of them
  std::string notice;  ///< to be said in one line where the process stands beside others and does
                       ///< not share their work; or ""
  /// Whether the words split the conversion.
  bool is_split() const { return count > 1 || !has_index; }
};

/// Settles the words: `--shard I/N` as it stands; `--shards N` with JOB_COMPLETION_INDEX (a
/// Kubernetes Indexed Job); `--shard auto` with the variables of a Slurm array, Open MPI or PMI.
/// Variables alone decide nothing. What is wrong goes to `faults`.
ShardChoice ParseShard(const ShardWords& words, const Environment& environment, Faults& faults);

}  // namespace ckpt
