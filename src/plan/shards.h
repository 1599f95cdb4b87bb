#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plan/chunked_plan.h"
#include "plan/plan.h"

// How the bundles of a plan fall to the shards of a run. No shard talks to another, so all of them
// must deal alike: a deal follows from the plan's run digest and the number of shards alone, never
// from memory, threads or tiles, which may differ from machine to machine.

namespace ckpt {

inline constexpr unsigned kMostShards = 100'000;  ///< as many indexes as a Kubernetes Job has

/// The shard of each weight: the heaviest group first, to the least loaded shard; ties go to the
/// group that begins first and to the lowest shard. `groups`: of each weight a number below their
/// count; equal numbers go to one shard. Empty: each on its own.
/// No shard gets more than the mean and one group (Graham, Bounds on Multiprocessing Timing
/// Anomalies, 1969).
std::vector<uint32_t> Deal(std::span<const uint64_t> weights, std::span<const uint32_t> groups,
                           unsigned shards);

/// The shard of plan.bundles[i]. The front and what else the commit writes fall to none. All
/// bundles of a tensor with a statistic across its tiles (column maxima) go together, as the shard
/// that has them finds the statistic itself.
std::vector<uint32_t> DealBundles(const Plan& plan, unsigned shards);
/// The same. Each band is quantized alone, so nothing must go together.
std::vector<uint32_t> DealBundles(const ChunkedPlan& plan, unsigned shards);

/// What plan.bundles[i] weighs in the deal: bytes written and elements read, those for a statistic
/// twice.
uint64_t BundleWeight(const Plan& plan, size_t i);
/// The same; of a source in chunks the chunks that its bands touch.
uint64_t BundleWeight(const ChunkedPlan& plan, size_t i);

/// Bytes that plan.bundles[i] asks of the source on this machine, what it reads again included
/// (passes, its share of a statistic). With the front's, the head's, companions and headers they
/// are plan.totals.read_bytes.
uint64_t BundleReadBytes(const Plan& plan, size_t i);
uint64_t BundleReadBytes(const ChunkedPlan& plan, size_t i);

/// The most that all lanes together have read at any time of what is not recorded, and so what a
/// kill can cost: each its bundle, with the whole statistics of its tensors, and what it reads
/// ahead of the next ones; or the front, or the head.
uint64_t MostOpenReadBytes(const Plan& plan);
uint64_t MostOpenReadBytes(const ChunkedPlan& plan);

/// One shard's share of the bundles.
struct ShardPart {
  uint32_t bundles = 0;
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  uint64_t largest_bundle_bytes = 0;  ///< read and written by one of its bundles, at most
  bool has_statistic = false;         ///< holds a tensor that cannot be dealt out further
};
/// Of every shard. Headers, front and commit are beside them.
std::vector<ShardPart> PartsOf(const Plan& plan, unsigned shards);
std::vector<ShardPart> PartsOf(const ChunkedPlan& plan, unsigned shards);

}  // namespace ckpt
