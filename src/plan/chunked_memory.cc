#include "plan/chunked_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/checked.h"
#include "base/units.h"
#include "plan/memory.h"
#include "plan/role_work.h"
#include "source/box_reader.h"
#include "store/store.h"

namespace ckpt {
namespace {

// Journal records being made, small files, the readers' tables.
constexpr uint64_t kTablesBytes = 2 * kMiB;
constexpr uint64_t kReaderBytes = 2 * kKiB;
// A stripe as float32, once more in its output's type, and a row of each.
constexpr uint64_t kStagingBytes = (kStripeRows + 1) * kStripeColumns * (4 + 4);
// The compressor's own tables at level 1, measured with libzstd 1.5 for 4 MiB chunks.
constexpr uint64_t kCompressorBytes = 4 * kMiB;
// Committing: places of one output's chunks, and the open nodes of its tree.
constexpr uint64_t kPlaceBytes = sizeof(ChunkPlace) + 16;
constexpr uint64_t kMostTreeBytes = 32 * kMiB;
constexpr uint64_t kTreeBytesPerChunk = 400;
constexpr uint64_t kTreeBytesPerArray = 4 * kKiB;

uint64_t RecordBytes(const ChunkedPlan& plan, const ChunkedBundle& bundle) {
  uint64_t bytes = 0;
  for (const BandSpan& span : bundle.spans) {
    const RoleWork& work = plan.works[span.work];
    uint64_t of_band = 0;
    for (const Product& product : work.products) {
      of_band += product.chunks * product.slices.size() * 64;
      const SliceRef& ref = product.slices.front();
      const ChunkedOutput& output = plan.outputs[ref.output];
      if (output.arrays[output.slices[ref.slice].array].making == ChunkMaking::kQuantize)
        of_band += work.band_extent * work.rows_per_unit * 2 + 64;
    }
    bytes += (span.band_end - span.band_begin) * of_band;
  }
  return 2 * bytes;  // growing, and encoded for the journal
}

// Small scales are all that a run into a sink keeps.
uint64_t SidesBytes(const ChunkedPlan& plan) {
  uint64_t bytes = 0;
  for (const uint64_t front : plan.front_bytes) bytes += front;
  return bytes;
}

uint64_t CommitBytes(const ChunkedPlan& plan) {
  uint64_t most = 0;
  for (size_t o = 0; o < plan.outputs.size(); ++o) {
    uint64_t chunks = 0;
    uint64_t largest_front = 0;
    for (const ChunkedArray& array : plan.outputs[o].arrays) {
      chunks += ChunkCount(array);
      if (array.making == ChunkMaking::kScales)
        largest_front = std::max(largest_front, 2 * array.shape.Elements().value_or(0) * 2);
    }
    const uint64_t tree =
        chunks * kTreeBytesPerChunk + plan.outputs[o].arrays.size() * kTreeBytesPerArray;
    most = std::max(most, chunks * kPlaceBytes + std::min(tree, kMostTreeBytes) + largest_front +
                              4 * plan.front_bytes[o] / std::max<uint64_t>(1, plan.bundles.size()));
  }
  return most;
}

struct Layout {
  unsigned in_buffers;
  unsigned out_buffers;
};
constexpr std::array<Layout, 3> kLayouts = {{{2, 2}, {2, 1}, {1, 1}}};

class Fitter {
 public:
  Fitter(const ChunkedPlan& plan, bool keeps_sides, const Resources& resources)
      : plan_(plan), is_uploading_(resources.is_uploading) {
    needs_.fixed_bytes = ckpt::MemoryBytes(plan.catalog) + plan.MemoryBytes() + kTablesBytes +
                         resources.source_held_bytes + plan.catalog.objects.size() * kReaderBytes;
    needs_.staging_bytes = kStagingBytes;
    needs_.sides_bytes = keeps_sides ? 2 * SidesBytes(plan) : 0;
    for (const RoleWork& work : plan.works) Add(work);
    for (const ChunkedBundle& bundle : plan.bundles)
      needs_.record_bytes = std::max(needs_.record_bytes, RecordBytes(plan, bundle));
    needs_.in_bytes = RoundUp(needs_.in_bytes, kIoAlignment);
    needs_.boxed_bytes = RoundUp(needs_.boxed_bytes, kIoAlignment);
    needs_.out_bytes = RoundUp(needs_.out_bytes, kIoAlignment);
    needs_.packed_bytes = RoundUp(needs_.packed_bytes, kIoAlignment);
    commit_ = CommitBytes(plan);
  }

  std::optional<ChunkedMemory> Fit(uint64_t budget, unsigned threads) const {
    for (unsigned lanes = std::max(1U, threads); lanes >= 1; --lanes) {
      for (const Layout& layout : kLayouts) {
        // Another lane with two buffers of each beats one with a single buffer.
        if (lanes > 1 && layout.in_buffers < 2) continue;
        ChunkedMemory memory = needs_;
        memory.budget_bytes = budget;
        memory.lanes = lanes;
        memory.in_buffers = layout.in_buffers;
        memory.out_buffers = layout.out_buffers;
        memory.lane_bytes = layout.in_buffers * memory.in_bytes + memory.boxed_bytes +
                            layout.out_buffers * memory.out_bytes + memory.staging_bytes +
                            memory.packed_bytes;
        // Granted beside the arena.
        for (const TensorEntry* tensor : boxed_)
          memory.box_reader_bytes = std::max(memory.box_reader_bytes,
                                             BoxWindowBytes(*tensor, budget) + kDecompressorBytes);
        const uint64_t apart = memory.box_reader_bytes;
        const uint64_t run =
            lanes * (memory.lane_bytes + apart) + (lanes + 1) * memory.record_bytes;
        if (is_uploading_)
          memory.uploads = {UploadPartBytes(plan_.bundle_bytes),
                            lanes * static_cast<unsigned>(plan_.outputs.size()), 1, 1};
        memory.peak_bytes = memory.fixed_bytes + memory.sides_bytes + memory.uploads.bytes() +
                            std::max(run, commit_);
        if (memory.peak_bytes <= budget) return memory;
      }
    }
    return std::nullopt;
  }

 private:
  void Add(const RoleWork& work) {
    const BoundRole& bound = plan_.model.roles[work.role];
    const TensorEntry& tensor = plan_.catalog.tensors[TensorOf(work, bound, 0)];
    if (work.is_boxed) {
      const uint64_t elements =
          (work.IsVector() ? 1 : std::min(work.band_extent, work.units) * work.rows_per_unit) *
          work.rows.row_elements;
      const DTypeInfo& info = Info(tensor.dtype);
      const uint64_t bytes = CeilDiv(elements, info.block_elements) * info.block_bytes;
      needs_.in_bytes = std::max(needs_.in_bytes, bytes + kIoAlignment);
      needs_.boxed_bytes = std::max(needs_.boxed_bytes, bytes + kIoAlignment);
      boxed_.push_back(&tensor);
    } else {
      needs_.in_bytes = std::max(needs_.in_bytes, BandCapacity(work, tensor));
    }
    uint64_t out = 0;
    for (const Product& product : work.products) {
      out += product.chunks * product.stride_bytes;
      const SliceRef& ref = product.slices.front();
      if (plan_.outputs[ref.output].codec == ChunkCodec::kZstd)
        needs_.packed_bytes =
            std::max(needs_.packed_bytes,
                     product.chunk_bytes + product.chunk_bytes / 128 + kKiB + kCompressorBytes);
    }
    needs_.out_bytes = std::max(needs_.out_bytes, out);
  }

  const ChunkedPlan& plan_;
  bool is_uploading_;
  ChunkedMemory needs_;
  std::vector<const TensorEntry*> boxed_;
  uint64_t commit_ = 0;
};

}  // namespace

Result<void> PlanChunkedMemory(ChunkedPlan& plan, const ChunkedOptions& options) {
  const Fitter fitter(plan, options.keeps_sides, options.resources);
  CKPT_TRY(plan.memory,
           FitBudget<ChunkedMemory>(options.resources, [&](uint64_t budget, unsigned threads) {
             return fitter.Fit(budget, threads);
           }));
  return {};
}

}  // namespace ckpt
