#include "run/tile_feed.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "base/units.h"
#include "kernel/convert.h"
#include "run/apply_values.h"
#include "run/laid_box.h"
#include "source/box_runs.h"
#include "source/element_form.h"

namespace ckpt {
namespace {
constexpr uint64_t kLineBytes = 64;
// Input that is in memory already comes in tiles that stay in a core's own cache.
constexpr uint64_t kTileInMemoryBytes = 512 * kKiB;
}  // namespace

TileFeed::TileFeed(const RunContext& context, std::vector<std::span<std::byte>> buffers,
                   std::span<std::byte> staged, std::function<std::optional<Job>()> next_job)
    : context_(context), next_job_(std::move(next_job)), staged_(staged), slots_(buffers.size()) {
  for (size_t i = 0; i < buffers.size(); ++i) slots_[i].buffer = buffers[i];
}

TileFeed::~TileFeed() { Drain(); }

void TileFeed::Drain() {
  for (Slot& slot : slots_) {
    for (IoFuture& read : slot.reads) {
      if (read.valid()) read.wait();
    }
  }
}

// Moves on to rows that are still to be read; false when no job is left.
bool TileFeed::FindRows() {
  while (!is_at_end_) {
    if (!job_) {
      if (context_.stop.stop_requested()) return false;
      job_ = next_job_();
      if (!job_) {
        is_at_end_ = true;
        return false;
      }
      span_ = 0;
      pass_ = 0;
      row_ = job_->spans.empty() ? 0 : job_->spans.front().row_begin;
    }
    if (span_ < job_->spans.size()) return true;
    job_.reset();
  }
  return false;
}

bool TileFeed::IsInMemory(const TensorEntry& tensor) const {
  return std::all_of(tensor.pieces.begin(), tensor.pieces.end(), [&](const Piece& piece) {
    return context_.readers[piece.object]->IsInMemory();
  });
}

uint64_t TileFeed::RowsOfTile(size_t array, bool is_in_memory) const {
  const Plan& plan = context_.plan;
  const uint64_t rows = RowsPerTile(plan, array);
  if (!is_in_memory) return rows;
  const ArrayPlan& planned = plan.arrays[array];
  const TensorEntry& tensor = plan.catalog.tensors[planned.tensor];
  const uint64_t least = UnitBytes(planned, tensor) + 2 * kIoAlignment * tensor.pieces.size();
  return std::min(rows, RowsPerTile(planned, tensor, std::max(kTileInMemoryBytes, least),
                                    plan.memory.tile_out_bytes - 2 * kIoAlignment));
}

IoFuture TileFeed::StartRead(const Slot& slot, const TileRange& range) const {
  ObjectReader& reader = *context_.readers[range.object];
  const std::span<std::byte> window = slot.buffer.subspan(range.window_offset, range.window_bytes);
  if (!slot.is_in_memory) return reader.ReadWindow(range.range, window);
  return std::async(std::launch::deferred, [&reader, range = range.range, window] {
    return reader.Read(range, window.subspan(range.begin % kIoAlignment, range.size()));
  });
}

bool TileFeed::StartNext(Slot& slot) {
  if (!FindRows()) return false;
  const Plan& plan = context_.plan;
  const RowSpan& span = job_->spans[span_];
  const ArrayPlan& array = plan.arrays[span.array];
  uint64_t end = span.row_end;
  slot.box.reset();
  slot.reads.clear();
  slot.is_in_memory = !array.boxed && IsInMemory(plan.catalog.tensors[array.tensor]);
  if (array.boxed) {
    slot.box = NextBoxTile(plan, span.array, row_, span.row_end);
    end = slot.box->rows.row_end;
  } else {
    const uint64_t rows = RowsOfTile(span.array, slot.is_in_memory);
    end = row_ + rows;
    // Rows of a transposed array become columns: their tiles end at the border of a cache line in
    // the hold, which begins as the array does in its file unless two values share a byte.
    const ArraySpec& spec = plan.output.arrays[span.array];
    if (spec.encoding == Encoding::kQuantBlocks && rows >= kLineBytes) {
      const uint64_t lead = spec.bits == 8 ? array.offset % kLineBytes : 0;
      end = RoundDown(end + lead, kLineBytes) - lead;
    }
    end = std::min(span.row_end, end);
    MakeTile(array.rows, plan.catalog.tensors[array.tensor], {span.array, row_, end}, slot.tile);
    for (const TileRange& range : slot.tile.ranges) {
      CKPT_CHECK(range.window_offset + range.window_bytes <= slot.buffer.size());
      slot.reads.push_back(StartRead(slot, range));
    }
  }
  const uint64_t passes = job_->bundle != nullptr ? array.passes : 1;

  slot.fed = {job_->bundle,        &slot.tile, slot.buffer.data(), pass_, row_ == span.row_begin,
              end == span.row_end, false};
  slot.is_full = true;

  row_ = end;
  if (row_ == span.row_end) {
    if (++pass_ < passes) {
      row_ = span.row_begin;
    } else {
      pass_ = 0;
      if (++span_ < job_->spans.size()) row_ = job_->spans[span_].row_begin;
    }
  }
  slot.fed.is_last_of_job = span_ == job_->spans.size();
  return true;
}

// Big-endian numbers and lazy signs become those that the kernels know.
void TileFeed::MakePlain(const Tile& tile, std::span<std::byte> buffer) const {
  const TensorEntry& tensor =
      context_.plan.catalog.tensors[context_.plan.arrays[tile.rows.array].tensor];
  if (tensor.form.IsPlain()) return;
  for (const RowPart& part : tile.parts)
    ToPlain(tensor.dtype, tensor.form, buffer.subspan(part.buffer_offset, part.bytes));
}

Result<void> TileFeed::WaitForReads(Slot& slot) {
  for (size_t i = 0; i < slot.reads.size(); ++i) {
    Result<void> read = slot.reads[i].get();
    if (!read) {
      const TensorEntry& tensor =
          context_.plan.catalog.tensors[context_.plan.arrays[slot.tile.rows.array].tensor];
      return Fail(Where("tensor", tensor.name)(std::move(read).error()));
    }
    context_.progress.read_bytes += slot.tile.ranges[i].range.size();
  }
  return {};
}

// Reads a box into the slot's buffer and lays its rows into staged memory.
Result<void> TileFeed::ReadBox(Slot& slot) {
  const Plan& plan = context_.plan;
  const BoxTile& tile = *slot.box;
  const ArrayPlan& array = plan.arrays[tile.rows.array];
  const TensorEntry& tensor = plan.catalog.tensors[tile.tensor];
  const BoundRole& bound = plan.BoundOf(tile.rows.array);
  const uint32_t element_bytes = ElementBytes(tensor.dtype);
  const uint64_t box_bytes = BoxBytes(tensor.dtype, tile.box);
  const uint64_t row_bytes = array.rows.row_elements * element_bytes;
  LayRows(tile.rows, row_bytes, slot.tile);
  CKPT_CHECK(box_bytes <= slot.buffer.size() &&
             (tile.rows.row_end - tile.rows.row_begin) * row_bytes <= staged_.size());
  if (!box_reader_)
    box_reader_ =
        std::make_unique<BoxReader>(context_.pool.Opener(), context_.budget, context_.stop);
  const uint64_t before = box_reader_->requested_bytes();
  CKPT_TRY_VOID(box_reader_->Read(tensor, tile.box, slot.buffer.first(box_bytes)));
  context_.progress.AddRead(box_reader_->requested_bytes() - before,
                            TouchedBytes(tensor, tile.box));
  LayBox(bound.view, array.boxed->source_axes, tile.box, tile.role, array.boxed->order,
         element_bytes, slot.buffer.data(), staged_.data());
  slot.fed.input = staged_.data();
  return {};
}

// The tile's rows become float32 values, in whichever memory they do not lie in.
void TileFeed::ComputeValues(Slot& slot) {
  const ArrayPlan& array = context_.plan.arrays[slot.tile.rows.array];
  const DTypeInfo& info = Info(context_.plan.catalog.tensors[array.tensor].dtype);
  const ConvertFn to_f32 =
      FindConvert(context_.plan.catalog.tensors[array.tensor].dtype, DType::kF32);
  CKPT_CHECK(to_f32 != nullptr);
  const std::span<std::byte> into = slot.fed.input == staged_.data() ? slot.buffer : staged_;
  const uint64_t rows = slot.tile.rows.row_end - slot.tile.rows.row_begin;
  const uint64_t row_bytes = array.rows.row_elements * ElementBytes(DType::kF32);
  CKPT_CHECK(rows * row_bytes <= into.size());
  std::byte* at = into.data();
  for (const RowPart& part : slot.tile.parts) {
    const uint64_t count = part.bytes / info.block_bytes * info.block_elements;
    to_f32(slot.fed.input + part.buffer_offset, at, count);
    ApplyValues(array.value, reinterpret_cast<float*>(at), count);
    at += count * ElementBytes(DType::kF32);
  }
  LayRows(slot.tile.rows, row_bytes, slot.tile);
  slot.fed.input = into.data();
}

Result<FedTile> TileFeed::Next() {
  if (context_.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
  // The tile of the call before is done with, so its buffer is free. Every free buffer's read
  // starts before we wait for one, so that the disk never rests while we work. What needs no disk
  // comes through one buffer, which stays in the core's cache.
  for (size_t ahead = 0; ahead < slots_.size(); ++ahead) {
    Slot& slot = slots_[(turn_ + ahead) % slots_.size()];
    if (!slot.is_full && !StartNext(slot)) break;
    if (slot.is_in_memory) break;
  }
  Slot& slot = slots_[turn_];
  if (!slot.is_full) return FedTile{};
  if (!slot.is_in_memory) turn_ = (turn_ + 1) % slots_.size();
  if (slot.box) {
    CKPT_TRY_VOID(ReadBox(slot));
  } else {
    CKPT_TRY_VOID(WaitForReads(slot));
    MakePlain(slot.tile, slot.buffer);
  }
  if (!context_.plan.arrays[slot.fed.tile->rows.array].value.empty()) ComputeValues(slot);
  slot.is_full = false;
  return slot.fed;
}

}  // namespace ckpt
