#include "plan/shards.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <queue>
#include <utility>

#include "base/check.h"
#include "plan/memory.h"
#include "plan/read_bytes.h"

namespace ckpt {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

bool HasStatistic(const Plan& plan, size_t array) {
  return plan.output.arrays[array].encoding == Encoding::kQuantColumns;
}

bool HasStatistic(const Plan& plan, const Bundle& bundle) {
  return std::any_of(bundle.spans.begin(), bundle.spans.end(),
                     [&](const RowSpan& span) { return HasStatistic(plan, span.array); });
}
bool HasStatistic(const ChunkedPlan& /*plan*/, const ChunkedBundle& /*bundle*/) { return false; }

// Bundles follow the file, so those of one array follow one another.
std::vector<uint32_t> StatisticGroups(const Plan& plan) {
  std::vector<uint32_t> groups(plan.bundles.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    groups[i] = static_cast<uint32_t>(i);
    if (i == 0 || plan.bundles[i - 1].spans.empty() || plan.bundles[i].spans.empty()) continue;
    const size_t array = plan.bundles[i].spans.front().array;
    if (plan.bundles[i - 1].spans.back().array == array && HasStatistic(plan, array))
      groups[i] = groups[i - 1];
  }
  return groups;
}

template <class PlanType>
std::vector<uint64_t> WeightsOf(const PlanType& plan) {
  std::vector<uint64_t> weights(plan.bundles.size());
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = BundleWeight(plan, i);
  return weights;
}

uint64_t WrittenBytes(const Bundle& bundle) { return bundle.segment.size(); }
uint64_t WrittenBytes(const ChunkedBundle& bundle) {
  return std::accumulate(bundle.file_bytes.begin(), bundle.file_bytes.end(), uint64_t{0});
}

template <class PlanType>
std::vector<ShardPart> Parts(const PlanType& plan, unsigned shards) {
  const std::vector<uint32_t> dealt = DealBundles(plan, shards);
  std::vector<ShardPart> parts(shards);
  for (size_t i = 0; i < dealt.size(); ++i) {
    ShardPart& part = parts[dealt[i]];
    ++part.bundles;
    const uint64_t read = BundleReadBytes(plan, i);
    const uint64_t written = WrittenBytes(plan.bundles[i]);
    part.read_bytes += read;
    part.written_bytes += written;
    part.largest_bundle_bytes = std::max(part.largest_bundle_bytes, read + written);
    part.has_statistic = part.has_statistic || HasStatistic(plan, plan.bundles[i]);
  }
  return parts;
}

// A lane has its bundle open, and reads ahead of the next ones into its other buffers.
uint64_t MostOfLanes(uint64_t lanes, uint64_t bundle_bytes, uint64_t buffers,
                     uint64_t buffer_bytes) {
  return lanes * (bundle_bytes + (buffers - 1) * std::min(bundle_bytes, buffer_bytes));
}

}  // namespace

std::vector<uint32_t> Deal(std::span<const uint64_t> weights, std::span<const uint32_t> groups,
                           unsigned shards) {
  CKPT_CHECK(shards > 0 && (groups.empty() || groups.size() == weights.size()));
  struct Group {
    uint64_t weight = 0;
    uint32_t first = kNone;
    uint32_t shard = 0;
  };
  const auto group_of = [&](size_t i) { return groups.empty() ? i : size_t{groups[i]}; };
  std::vector<Group> sums(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    CKPT_CHECK(group_of(i) < sums.size());
    Group& group = sums[group_of(i)];
    group.weight += weights[i];
    group.first = std::min(group.first, static_cast<uint32_t>(i));
  }
  std::vector<Group*> order;
  for (Group& group : sums) {
    if (group.first != kNone) order.push_back(&group);
  }
  std::sort(order.begin(), order.end(), [](const Group* a, const Group* b) {
    return a->weight != b->weight ? a->weight > b->weight : a->first < b->first;
  });
  using Load = std::pair<uint64_t, uint32_t>;  // and the shard
  std::priority_queue<Load, std::vector<Load>, std::greater<>> loads;
  for (uint32_t shard = 0; shard < shards; ++shard) loads.emplace(0, shard);
  for (Group* group : order) {
    const auto [load, shard] = loads.top();
    loads.pop();
    group->shard = shard;
    loads.emplace(load + group->weight, shard);
  }
  std::vector<uint32_t> dealt(weights.size());
  for (size_t i = 0; i < dealt.size(); ++i) dealt[i] = sums[group_of(i)].shard;
  return dealt;
}

uint64_t BundleWeight(const Plan& plan, size_t i) {
  const Bundle& bundle = plan.bundles[i];
  uint64_t weight = WrittenBytes(bundle);
  for (const RowSpan& span : bundle.spans) {
    const ArrayPlan& array = plan.arrays[span.array];
    // Not what the bundle reads: that depends on tiles and passes, and these on the memory.
    const DTypeInfo& info = Info(plan.catalog.tensors[array.tensor].dtype);
    const uint64_t elements = (span.row_end - span.row_begin) * array.rows.row_elements;
    const uint64_t readings = HasStatistic(plan, span.array) ? 2 : 1;
    weight += readings * (elements / info.block_elements * info.block_bytes);
  }
  return weight;
}

uint64_t BundleWeight(const ChunkedPlan& plan, size_t i) {
  return WrittenBytes(plan.bundles[i]) + plan.bundles[i].read_bytes;
}

std::vector<uint32_t> DealBundles(const Plan& plan, unsigned shards) {
  return Deal(WeightsOf(plan), StatisticGroups(plan), shards);
}

std::vector<uint32_t> DealBundles(const ChunkedPlan& plan, unsigned shards) {
  return Deal(WeightsOf(plan), {}, shards);
}

uint64_t BundleReadBytes(const Plan& plan, size_t i) { return plan.bundles[i].read_bytes; }
uint64_t BundleReadBytes(const ChunkedPlan& plan, size_t i) { return plan.bundles[i].read_bytes; }

uint64_t MostOpenReadBytes(const Plan& plan) {
  std::map<size_t, uint64_t> statistics;  // by array
  for (const StatisticTask& task : plan.statistics)
    statistics[task.span.array] += ReadingOf(plan, task.span).bytes;
  const auto read = [&](const Bundle& bundle) {
    uint64_t bytes = bundle.read_bytes;
    size_t last = plan.arrays.size();
    for (const RowSpan& span : bundle.spans) {
      if (!HasStatistic(plan, span.array)) continue;
      bytes -= ReadingOf(plan, span).bytes;  // its share
      if (std::exchange(last, span.array) != span.array) bytes += statistics[span.array];
    }
    return bytes;
  };
  uint64_t most = 0;
  for (const Bundle& bundle : plan.bundles) most = std::max(most, read(bundle));
  // Each is one lane's, when no bundle is open.
  const uint64_t front = read(plan.front);
  uint64_t head = 0;
  for (const CommitRange& range : plan.commits) {
    for (const size_t i : range.arrays) {
      if (HasRows(plan.output.arrays[i].encoding))
        head += ReadingOf(plan, {i, 0, plan.arrays[i].rows.n_rows}).bytes;
    }
  }
  const uint64_t bundles =
      MostOfLanes(plan.memory.lanes, most, kInputBuffersPerLane, plan.memory.tile_in_bytes);
  return std::min(std::max({bundles, front, head}), plan.totals.read_bytes);
}

uint64_t MostOpenReadBytes(const ChunkedPlan& plan) {
  uint64_t most = 0;
  for (const ChunkedBundle& bundle : plan.bundles) most = std::max(most, bundle.read_bytes);
  const ChunkedMemory& memory = plan.memory;
  return std::min(MostOfLanes(memory.lanes, most, memory.in_buffers, memory.in_bytes),
                  plan.totals.read_bytes);
}

std::vector<ShardPart> PartsOf(const Plan& plan, unsigned shards) { return Parts(plan, shards); }
std::vector<ShardPart> PartsOf(const ChunkedPlan& plan, unsigned shards) {
  return Parts(plan, shards);
}

}  // namespace ckpt
