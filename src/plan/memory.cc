#include "plan/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "base/checked.h"
#include "base/units.h"
#include "plan/box_rows.h"
#include "plan/bundles.h"
#include "plan/tile.h"
#include "source/box_reader.h"
#include "store/store.h"

namespace ckpt {
namespace {

// Reads of 2 MiB run at the disk's speed where two are under way. Larger buffers cost first touches
// and leave the last-level cache, smaller ones cost more changes between threads (docs/bench.md).
constexpr uint64_t kBestTileBytes = 2 * kMiB;
// Two such reads of each lane under way hide tens of milliseconds.
constexpr uint64_t kBestRemoteTileBytes = 8 * kMiB;
// A permuted array is read head by head where a head is no larger than this: its rows then are one
// range.
constexpr uint64_t kMostUnitBytes = 4 * kMiB;
constexpr uint64_t kSmallTileBytes = 512 * kKiB;
// Tiles that are boxes of a tensor in another order: the larger, the less is read twice.
constexpr uint64_t kMostBoxBytes = 32 * kMiB;
// Blockwise outputs are columns: 64 rows fill whole cache lines of them.
constexpr uint64_t kBestBlockRows = 64;
constexpr uint64_t kLineBytes = 64;
// Fewer bytes cost more in requests than they save in memory.
constexpr uint64_t kLeastUploadPart = 16 * kMiB;
// Journal records being made, small files, the readers' tables.
constexpr uint64_t kTablesBytes = 2 * kMiB;
constexpr uint64_t kReaderBytes = 2 * kKiB;

struct Needs {
  uint64_t least_in = 2 * kIoAlignment;  // one row of the widest array
  uint64_t least_out = 2 * kIoAlignment;
  uint64_t best_in = 0;       // of tiles that are read as they lie
  uint64_t best_box = 0;      // of those that are read as boxes
  uint64_t computed_row = 0;  // one row as computed values
  std::vector<const TensorEntry*> boxed;
  uint64_t gathered_row = 0;
  uint64_t converted_row = 0;
  uint64_t statistics = 0;
  uint64_t lane_statistics = 0;
  uint64_t group_row = 0;
  uint64_t group_carry = 0;
  bool has_blocks = false;
};

Needs NeedsOf(const Plan& plan, const Resources& resources) {
  Needs needs;
  for (size_t i = 0; i < plan.arrays.size(); ++i) {
    const ArraySpec& spec = plan.output.arrays[i];
    if (!HasRows(spec.encoding)) continue;
    const ArrayPlan& array = plan.arrays[i];
    const TensorEntry& tensor = plan.catalog.tensors[array.tensor];
    const uint64_t row_capacity =
        array.boxed ? RoundUp(BoxRowBytes(plan, i), kIoAlignment) : TileCapacity(array, tensor, 1);
    needs.least_in = std::max(needs.least_in, row_capacity);
    needs.least_out = std::max(needs.least_out, array.row_bytes + 2 * kIoAlignment);
    needs.gathered_row = std::max(needs.gathered_row, RoundUp(row_capacity, kLineBytes));
    needs.converted_row =
        std::max(needs.converted_row, RoundUp(array.rows.row_elements * 2, kLineBytes));
    const DTypeInfo& info = Info(array.row_dtype);
    const uint64_t row_bytes =
        array.rows.row_elements / info.block_elements * info.block_bytes;  // as it is fed
    if (array.boxed) {
      needs.boxed.push_back(&tensor);
      needs.best_box =
          std::max(needs.best_box, std::min(kMostBoxBytes, array.rows.n_rows * row_bytes));
    } else if (const uint64_t unit_bytes = UnitBytes(array, tensor); unit_bytes <= kMostUnitBytes) {
      needs.best_in = std::max(needs.best_in, unit_bytes + 2 * kIoAlignment);
    }
    if (!array.value.empty())
      needs.computed_row = std::max(needs.computed_row, RoundUp(row_bytes, kIoAlignment));
    if (spec.encoding == Encoding::kQuantBlocks) {
      needs.has_blocks = true;
      needs.best_in = std::max(needs.best_in, kBestBlockRows * array.row_bytes + 4 * kIoAlignment);
    }
    if (spec.encoding == Encoding::kQuantGroups) {
      const uint64_t elements = array.rows.row_elements;
      if (spec.group.is_packed)
        needs.group_row = std::max(needs.group_row, RoundUp(elements, kLineBytes));
      if (spec.group.rows > 1) {
        needs.group_carry =
            std::max(needs.group_carry, RoundUp(spec.group.rows * elements * 2, kLineBytes));
        needs.least_out =
            std::max(needs.least_out, spec.group.rows * array.row_bytes + 2 * kIoAlignment);
      }
    }
    if (spec.encoding == Encoding::kQuantColumns) {
      needs.statistics += array.rows.row_elements * 6;
      needs.lane_statistics =
          std::max(needs.lane_statistics, RoundUp(array.rows.row_elements * 2, kLineBytes));
    }
  }
  needs.best_in = std::max({needs.best_in, needs.least_in,
                            resources.is_reading_remote ? kBestRemoteTileBytes : kBestTileBytes});
  return needs;
}

// Bytes of one hold that collects `blocks` column blocks of a transposed array [blocks, columns,
// rows], its scales included. Two values of 4 bits share a byte there.
uint64_t HoldBytes(const ArraySpec& spec, const ArrayPlan& array, uint64_t blocks) {
  const uint64_t block_bytes = spec.shape[1] * static_cast<uint64_t>(spec.bits) / 8;
  return RoundUp(blocks * array.rows.n_rows * (block_bytes + 2) + 2 * kIoAlignment, kIoAlignment);
}

// The fewest passes whose part of the output fits in `most_bytes`; nothing if not even one block
// does.
std::optional<uint64_t> BlocksPerPass(const ArraySpec& spec, const ArrayPlan& array,
                                      uint64_t most_bytes) {
  const uint64_t blocks = spec.shape[0];
  for (uint64_t passes = 1; passes <= blocks; ++passes) {
    const uint64_t part = CeilDiv(blocks, passes);
    if (HoldBytes(spec, array, part) <= most_bytes) return part;
  }
  return std::nullopt;
}

// Scales and zero points of some rows.
uint64_t SideBytes(const Plan& plan, const RowSpan& span) {
  const ArrayPlan& array = plan.arrays[span.array];
  const uint64_t rows = span.row_end - span.row_begin;
  const ArraySpec& spec = plan.output.arrays[span.array];
  if (spec.encoding == Encoding::kQuantRows) return rows * 2;
  const uint64_t all = plan.arrays[*array.scales].size_bytes;
  if (spec.encoding != Encoding::kQuantGroups) return all;
  const uint64_t groups = spec.group.GroupsOf(array.rows.row_elements);
  // Zero points wait unpacked for the rows that share their words.
  return std::min(all, CeilDiv(rows, spec.group.rows) * groups * 2) +
         (array.zero_points ? rows * groups : 0);
}

// Side values of a bundle: the scales it makes and two ragged blocks. Twice: growing, and encoded
// for the journal.
uint64_t RecordBytes(const Plan& plan, const Bundle& bundle) {
  uint64_t bytes = 2 * kIoAlignment;
  for (const RowSpan& span : bundle.spans) {
    const ArrayPlan& array = plan.arrays[span.array];
    if (!array.scales) continue;
    bytes += SideBytes(plan, span);
  }
  return 2 * bytes;
}

// An only file is filled by all lanes together: beside their segments lies the front's, which ends
// with the head. Of several each lane has its own, and one segment open.
UploadBuffers UploadsOf(const Plan& plan, unsigned lanes) {
  std::vector<unsigned> shared(plan.output.files.size());
  uint64_t largest = 0;
  const auto add = [&](size_t file, const ByteRange& segment) {
    shared[file] += segment.size() < kLeastSegmentBytes ? 1 : 0;
    largest = std::max(largest, segment.size());
  };
  for (const Bundle& bundle : plan.bundles) add(bundle.file, bundle.segment);
  for (const CommitRange& range : plan.commits) add(range.file, range.segment);
  unsigned most = 0;
  for (size_t i = 0; i < shared.size(); ++i) {
    // No part is smaller than the least segment, so that a small file has few of them.
    const uint64_t parts = plan.output.files[i].size_bytes / kLeastSegmentBytes + 1;
    most = std::max(most, static_cast<unsigned>(std::min<uint64_t>(shared[i], parts)));
  }
  // Small segments are joined until they are large enough, or to the next one that is.
  const uint64_t part_bytes =
      std::min(UploadPartBytes(plan.bundle_bytes), kLeastSegmentBytes + largest);
  if (shared.size() == 1) return {part_bytes, 1, lanes + 1, lanes, most};
  return {part_bytes, lanes, 1, 1, most};
}

class Fitter {
 public:
  Fitter(const Plan& plan, const Resources& resources)
      : plan_(plan), needs_(NeedsOf(plan, resources)), is_uploading_(resources.is_uploading) {
    for (const Bundle& bundle : plan.bundles)
      record_ = std::max(record_, RecordBytes(plan, bundle));
    record_ = std::max(record_, RecordBytes(plan, plan.front));
    fixed_ = MemoryBytes(plan.catalog) + plan.MemoryBytes() + kTablesBytes +
             resources.source_held_bytes + plan.catalog.objects.size() * kReaderBytes;
  }

  // The best use of a budget; nothing if it is too small. More lanes before larger tiles, down to
  // small tiles.
  std::optional<MemoryPlan> Fit(uint64_t budget, unsigned threads) {
    MemoryPlan memory;
    memory.budget_bytes = budget;
    memory.fixed_bytes = fixed_;
    if (!FitHold(memory)) return std::nullopt;
    for (unsigned lanes = std::max(1U, threads); lanes >= 1; --lanes) {
      const uint64_t least =
          lanes > 1 ? std::max(kSmallTileBytes, needs_.least_in) : needs_.least_in;
      for (uint64_t tile = std::max(needs_.best_in, needs_.best_box);;
           tile = std::max(least, tile / 2)) {
        if (Place(memory, lanes, tile)) return memory;
        if (tile <= least) break;
      }
    }
    return std::nullopt;
  }

 private:
  bool FitHold(MemoryPlan& memory) {
    holds_.clear();
    if (!needs_.has_blocks) return true;
    for (size_t i = 0; i < plan_.arrays.size(); ++i) {
      const ArraySpec& spec = plan_.output.arrays[i];
      if (spec.encoding != Encoding::kQuantBlocks) continue;
      const auto blocks = BlocksPerPass(spec, plan_.arrays[i], memory.budget_bytes / 2);
      if (!blocks) return false;
      holds_.push_back(HoldBytes(spec, plan_.arrays[i], *blocks));
    }
    std::sort(holds_.begin(), holds_.end(), std::greater<>());
    memory.hold_bytes = holds_.front();
    return true;
  }

  // What as many lanes fill at one time, at most.
  uint64_t LargestHolds(unsigned lanes) const {
    const size_t count = std::min<size_t>(lanes, holds_.size());
    return std::accumulate(holds_.begin(), holds_.begin() + static_cast<ptrdiff_t>(count),
                           uint64_t{0});
  }

  bool Place(MemoryPlan& memory, unsigned lanes, uint64_t tile) const {
    memory.lanes = lanes;
    memory.tile_in_bytes = RoundUp(std::max(tile, needs_.least_in), kIoAlignment);
    memory.tile_out_bytes =
        RoundUp(std::max(tile + 2 * kIoAlignment, needs_.least_out), kIoAlignment);
    memory.read_bytes = std::min(memory.tile_in_bytes, RoundUp(needs_.best_in, kIoAlignment));
    memory.staged_bytes = needs_.boxed.empty() ? needs_.computed_row : memory.tile_in_bytes;
    memory.box_reader_bytes = 0;
    for (const TensorEntry* tensor : needs_.boxed)
      memory.box_reader_bytes = std::max(memory.box_reader_bytes,
                                         BoxWindowBytes(*tensor, memory.budget_bytes) +
                                             (tensor->chunked == nullptr ? 0 : kDecompressorBytes));
    memory.lane_bytes = kInputBuffersPerLane * memory.tile_in_bytes + memory.staged_bytes +
                        kBuffersPerLane * memory.tile_out_bytes + needs_.gathered_row +
                        needs_.converted_row + needs_.lane_statistics + needs_.group_row +
                        needs_.group_carry;
    memory.group_row_bytes = needs_.group_row;
    memory.group_carry_bytes = needs_.group_carry;
    memory.gathered_row_bytes = needs_.gathered_row;
    memory.converted_row_bytes = needs_.converted_row;
    memory.column_max_bytes = needs_.lane_statistics;
    memory.record_bytes = record_;
    memory.statistics_bytes = needs_.statistics;
    if (is_uploading_) memory.uploads = UploadsOf(plan_, lanes);
    const uint64_t base = memory.fixed_bytes + memory.statistics_bytes + memory.uploads.bytes() +
                          lanes * (memory.lane_bytes + memory.box_reader_bytes) +
                          (lanes + 1) * memory.record_bytes;
    if (base + memory.hold_bytes > memory.budget_bytes) return false;
    memory.hold_pool_bytes = std::min(memory.budget_bytes - base, LargestHolds(lanes));
    memory.peak_bytes = base + memory.hold_pool_bytes;
    return true;
  }

  const Plan& plan_;
  Needs needs_;
  bool is_uploading_;
  uint64_t fixed_ = 0;
  uint64_t record_ = 0;
  std::vector<uint64_t> holds_;  // of the transposed arrays under the budget at hand, largest first
};

}  // namespace

uint64_t HoldBytes(const Plan& plan, size_t array) {
  const ArrayPlan& planned = plan.arrays[array];
  return HoldBytes(plan.output.arrays[array], planned, planned.blocks_per_pass);
}

uint64_t DefaultMemoryBytes(unsigned cores, uint64_t machine_bytes) {
  return std::max(kLeastMemoryBytes,
                  std::min<uint64_t>(kLeastMemoryBytes * (cores + 2ULL), machine_bytes / 2));
}

uint64_t UploadPartBytes(uint64_t bundle_bytes) {
  return std::max(kLeastUploadPart, bundle_bytes / 3);
}

uint64_t LeastBudget(const std::function<bool(uint64_t)>& fits) {
  uint64_t high = kLeastMemoryBytes;
  while (!fits(high)) high *= 2;
  uint64_t low = high == kLeastMemoryBytes ? high : high / 2;
  while (high - low > kMiB) {
    const uint64_t middle = RoundUp(low + (high - low) / 2, kMiB);
    if (middle >= high) break;
    (fits(middle) ? high : low) = middle;
  }
  return high;
}

tl::unexpected<Error> FailBudget(const Resources& resources, uint64_t budget_bytes,
                                 uint64_t least_bytes) {
  if (resources.memory_bytes > 0)
    return Fail(
        Code::kUsage,
        fmt::format("--memory {} is too small for this conversion", FormatMemory(budget_bytes)),
        fmt::format("the least budget that would do is --memory {}MiB",
                    CeilDiv(least_bytes, kMiB)));
  return Fail(Code::kResources,
              fmt::format("the conversion needs a memory budget of {}, this machine or container "
                          "can give {}",
                          FormatMemory(least_bytes), FormatMemory(resources.most_memory_bytes)),
              fmt::format("raise the container's memory limit to {} MiB or more",
                          CeilDiv(least_bytes + kBesideBudgetBytes, kMiB)));
}

Result<void> PlanMemory(Plan& plan, const Resources& resources) {
  Fitter fitter(plan, resources);
  CKPT_TRY(plan.memory, FitBudget<MemoryPlan>(resources, [&](uint64_t budget, unsigned threads) {
             return fitter.Fit(budget, threads);
           }));
  for (size_t i = 0; i < plan.arrays.size(); ++i) {
    const ArraySpec& spec = plan.output.arrays[i];
    if (spec.encoding != Encoding::kQuantBlocks) continue;
    ArrayPlan& array = plan.arrays[i];
    const auto blocks = BlocksPerPass(spec, array, plan.memory.budget_bytes / 2);
    CKPT_CHECK(blocks.has_value());  // or no hold would have fitted
    array.blocks_per_pass = *blocks;
    array.passes = CeilDiv(spec.shape[0], array.blocks_per_pass);
  }
  return {};
}

}  // namespace ckpt
