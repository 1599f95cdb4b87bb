#include "plan/chunked_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "plan/bundles.h"
#include "plan/chunked_bundles.h"
#include "plan/chunked_memory.h"
#include "plan/digest.h"
#include "plan/layout_faults.h"
#include "plan/read_bytes.h"
#include "plan/role_work.h"

namespace ckpt {
namespace {

Result<void> PlanWorks(ChunkedPlan& plan) {
  std::vector<std::vector<SliceRef>> slices(plan.model.roles.size());
  for (size_t o = 0; o < plan.outputs.size(); ++o) {
    for (size_t s = 0; s < plan.outputs[o].slices.size(); ++s)
      slices[plan.outputs[o].slices[s].role].push_back({o, s});
  }
  LayoutFaults faults;
  for (size_t role = 0; role < slices.size(); ++role) {
    if (slices[role].empty()) continue;
    Result<RoleWork> work = MakeRoleWork(plan, role, slices[role]);
    if (work) {
      plan.works.push_back(*std::move(work));
    } else {
      faults.Add(work.error());
    }
  }
  return std::move(faults).Get();
}

// Scales, then constants, in the last data file.
void PlanFront(ChunkedPlan& plan) {
  plan.front.resize(plan.outputs.size());
  plan.front_bytes.resize(plan.outputs.size());
  for (size_t o = 0; o < plan.outputs.size(); ++o) {
    const ChunkedOutput& output = plan.outputs[o];
    for (const ChunkMaking making : {ChunkMaking::kScales, ChunkMaking::kConstant}) {
      for (size_t a = 0; a < output.arrays.size(); ++a) {
        if (output.arrays[a].making != making) continue;
        const uint64_t bytes = Shape{output.arrays[a].chunk}.Elements().value_or(0) *
                               ElementBytes(output.arrays[a].dtype);
        plan.front[o].push_back({a, plan.front_bytes[o]});
        plan.front_bytes[o] += RoundUp(StoredChunkBytes(output.codec, bytes), kChunkAlignment);
      }
    }
  }
}

// Bytes of one source tensor that a role's elements take.
uint64_t UsedBytes(const RoleWork& work, const BoundRole& bound, const TensorEntry& tensor) {
  const uint64_t experts = bound.parts.empty() ? work.experts : 1;
  const uint64_t rows = work.IsVector() ? 1 : work.units * work.rows_per_unit;
  return StoredBytesOf(tensor, experts * rows * work.rows.row_elements);
}

// What the bands of each tensor of a role ask of it.
using ReadByTensor = std::map<size_t, uint64_t>;

// Counts what each bundle reads, and from which tensor for which role: the totals are their sum.
std::vector<ReadByTensor> CountBundles(ChunkedPlan& plan) {
  std::vector<ReadByTensor> read(plan.works.size());
  for (ChunkedBundle& bundle : plan.bundles) {
    for (const BandSpan& span : bundle.spans) {
      const RoleWork& work = plan.works[span.work];
      const BoundRole& bound = plan.model.roles[work.role];
      for (uint64_t band = span.band_begin; band < span.band_end; ++band) {
        const uint64_t bytes = BandReadBytes(plan, work, band);
        bundle.read_bytes += bytes;
        read[span.work][TensorOf(work, bound, band)] += bytes;
      }
    }
  }
  return read;
}

void CountTensor(ChunkedPlan& plan, const RoleWork& work, size_t part, uint64_t read,
                 std::set<std::pair<size_t, uint64_t>>& seen) {
  const BoundRole& bound = plan.model.roles[work.role];
  const uint64_t used = std::min(read, UsedBytes(work, bound, plan.catalog.tensors[part]));
  const auto again = [&](std::string why, uint64_t bytes) {
    const SliceRef& ref = work.products.front().slices.front();
    const ChunkedOutput& output = plan.outputs[ref.output];
    plan.rereads.push_back(
        {output.arrays[output.slices[ref.slice].array].name, std::move(why), bytes});
    plan.totals.read_again_bytes += bytes;
  };
  plan.totals.read_bytes += read;
  if (seen.insert({part, bound.view.offset}).second) {
    plan.totals.source_tensor_bytes += used;
  } else {
    again("shares its tensor with another array", used);
  }
  if (read > used) again(WhyMore(plan.catalog.tensors[part], "bands", read, used), read - used);
}

void CountTotals(ChunkedPlan& plan) {
  Totals& totals = plan.totals;
  totals.header_bytes = plan.catalog.header_bytes;
  totals.read_bytes = totals.header_bytes;
  std::set<std::pair<size_t, uint64_t>> seen;  // tensor and offset: layers may share a tensor
  const std::vector<ReadByTensor> read = CountBundles(plan);
  for (size_t w = 0; w < plan.works.size(); ++w) {
    for (const auto& [part, bytes] : read[w]) CountTensor(plan, plan.works[w], part, bytes, seen);
    totals.requests += plan.works[w].bands * plan.works[w].experts;
  }
  for (const ChunkedBundle& bundle : plan.bundles) {
    for (const uint64_t bytes : bundle.file_bytes) totals.written_bytes += bytes;
  }
  for (const uint64_t bytes : plan.front_bytes) totals.written_bytes += bytes;
  for (const ChunkedOutput& output : plan.outputs) {
    for (const CompanionSpec& companion : output.companions)
      totals.written_bytes += companion.text ? companion.text->size() : 0;
  }
}

uint64_t LargestOutput(const ChunkedPlan& plan) {
  uint64_t largest = 0;
  for (size_t o = 0; o < plan.outputs.size(); ++o) {
    uint64_t bytes = plan.front_bytes[o];
    for (const RoleWork& work : plan.works)
      bytes += BandFileBytes(work, o) * work.bands * work.experts;
    largest = std::max(largest, bytes);
  }
  return largest;
}

}  // namespace

std::string JoinPath(std::span<const PathKey> path) {
  std::string text;
  for (const PathKey& key : path) text += (text.empty() ? "" : "/") + key.name;
  return text;
}

uint64_t StoredChunkBytes(ChunkCodec codec, uint64_t bytes) {
  return codec == ChunkCodec::kCrc32c ? bytes + sizeof(uint32_t) : bytes;
}

uint64_t ChunkCount(const ChunkedArray& array) {
  uint64_t count = 1;
  for (size_t a = 0; a < array.shape.rank(); ++a)
    count *= array.chunk[a] == 0 ? 0 : CeilDiv(array.shape[a], array.chunk[a]);
  return count;
}

uint64_t BandFileBytes(const RoleWork& work, size_t output) {
  uint64_t bytes = 0;
  for (const Product& product : work.products) {
    for (const SliceRef& ref : product.slices)
      bytes += ref.output == output ? product.chunks * product.stride_bytes : 0;
  }
  return bytes;
}

uint64_t ChunkedPlan::MemoryBytes() const {
  uint64_t bytes = sizeof(ChunkedPlan);
  for (const ChunkedOutput& output : outputs) {
    for (const ChunkedArray& array : output.arrays)
      bytes += sizeof(ChunkedArray) + array.name.capacity() + array.path.size() * 64 + 128;
    bytes += output.slices.size() * (sizeof(ChunkedSlice) + 512);
    bytes += output.placeholders.size() * 512;
  }
  for (const RoleWork& work : works) bytes += sizeof(RoleWork) + work.products.size() * 128 + 512;
  bytes += bundles.size() * (sizeof(ChunkedBundle) + 8 * outputs.size());
  for (const ChunkedBundle& bundle : bundles) bytes += bundle.spans.size() * sizeof(BandSpan);
  bytes += model.roles.size() * (sizeof(BoundRole) + 512);
  return bytes;
}

Result<ChunkedPlan> MakeChunkedPlan(Catalog catalog, Model model, const ChunkedTarget& target,
                                    std::vector<ChunkedOutput> outputs,
                                    const ChunkedSettings& settings,
                                    const ChunkedOptions& options) {
  ChunkedPlan plan;
  plan.catalog = std::move(catalog);
  plan.model = std::move(model);
  plan.outputs = std::move(outputs);
  plan.target = target.name();
  plan.settings = settings;
  CKPT_TRY_VOID(PlanWorks(plan));
  PlanFront(plan);
  plan.bundle_bytes =
      options.bundle_bytes > 0 ? options.bundle_bytes : DefaultBundleBytes(LargestOutput(plan));
  CutChunkedBundles(plan);
  CKPT_TRY_VOID(PlanChunkedMemory(plan, options));
  CountTotals(plan);
  plan.layout_digest = LayoutDigest(plan);
  plan.run_digest = RunDigest(plan);
  plan.warnings = plan.catalog.warnings;
  plan.warnings.insert(plan.warnings.end(), plan.model.warnings.begin(), plan.model.warnings.end());
  return plan;
}

}  // namespace ckpt
