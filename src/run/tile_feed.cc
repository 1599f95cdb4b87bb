#include "run/tile_feed.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "source/element_form.h"

namespace ckpt {
namespace {
constexpr uint64_t kLineBytes = 64;
}

TileFeed::TileFeed(const RunContext& context, std::vector<std::span<std::byte>> buffers,
                   std::function<std::optional<Job>()> next_job)
    : context_(context), next_job_(std::move(next_job)), slots_(buffers.size()) {
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

bool TileFeed::StartNext(Slot& slot) {
  if (!FindRows()) return false;
  const Plan& plan = context_.plan;
  const RowSpan& span = job_->spans[span_];
  const ArrayPlan& array = plan.arrays[span.array];
  const TensorEntry& tensor = plan.catalog.tensors[array.tensor];
  uint64_t rows = RowsPerTile(array, tensor, plan.memory.tile_in_bytes,
                              plan.memory.tile_out_bytes - 2 * kIoAlignment);
  // Rows of a transposed array become columns: whole cache lines of them where there are enough.
  if (plan.output.arrays[span.array].encoding == Encoding::kQuantBlocks && rows >= kLineBytes)
    rows = RoundDown(rows, kLineBytes);
  const uint64_t end = std::min(span.row_end, row_ + rows);
  MakeTile(array.rows, tensor, {span.array, row_, end}, slot.tile);
  const uint64_t passes = job_->bundle != nullptr ? array.passes : 1;

  slot.fed = {job_->bundle,        &slot.tile, slot.buffer.data(), pass_, row_ == span.row_begin,
              end == span.row_end, false};
  slot.reads.clear();
  for (const TileRange& range : slot.tile.ranges) {
    CKPT_CHECK(range.window_offset + range.window_bytes <= slot.buffer.size());
    slot.reads.push_back(context_.readers[range.object]->ReadWindow(
        range.range, slot.buffer.subspan(range.window_offset, range.window_bytes)));
  }
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

Result<FedTile> TileFeed::Next() {
  if (context_.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
  // The tile of the call before is done with, so its buffer is free. Every free buffer's read
  // starts before we wait for one, so that the disk never rests while we work.
  for (size_t ahead = 0; ahead < slots_.size(); ++ahead) {
    Slot& slot = slots_[(turn_ + ahead) % slots_.size()];
    if (!slot.is_full && !StartNext(slot)) break;
  }
  Slot& slot = slots_[turn_];
  if (!slot.is_full) return FedTile{};
  turn_ = (turn_ + 1) % slots_.size();
  for (size_t i = 0; i < slot.reads.size(); ++i) {
    Result<void> read = slot.reads[i].get();
    if (!read) {
      const TensorEntry& tensor =
          context_.plan.catalog.tensors[context_.plan.arrays[slot.tile.rows.array].tensor];
      return Fail(Where("tensor", tensor.name)(std::move(read).error()));
    }
    context_.progress.read_bytes += slot.tile.ranges[i].range.size();
  }
  MakePlain(slot.tile, slot.buffer);
  slot.is_full = false;
  return slot.fed;
}

}  // namespace ckpt
