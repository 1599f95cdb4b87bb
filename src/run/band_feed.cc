#include "run/band_feed.h"

#include <algorithm>

#include "base/check.h"
#include "base/index.h"
#include "kernel/transpose.h"

namespace ckpt {
namespace {

// Rows that follow one another without a gap.
void LayRows(uint64_t count, uint64_t row_bytes, Tile& tile) {
  tile.ranges.clear();
  tile.parts.clear();
  tile.first_part.clear();
  tile.rows = {0, 0, count};
  for (uint64_t row = 0; row < count; ++row) {
    tile.first_part.push_back(static_cast<uint32_t>(row));
    tile.parts.push_back({row * row_bytes, row_bytes});
  }
  tile.first_part.push_back(static_cast<uint32_t>(count));
}

// From a dense box of the source tensor to the role's canonical order, outermost axis last.
std::vector<StridedAxis> ToCanonical(const RoleWork& work, const View& view, const Box& box,
                                     const RoleBox& role_box, uint32_t element_bytes) {
  std::vector<uint64_t> extents;
  for (size_t a = 0; a < box.begin.size(); ++a) extents.push_back(box.end[a] - box.begin[a]);
  const std::vector<uint64_t> whole = RowMajor(view.tensor.extents);
  const std::vector<uint64_t> dense = RowMajor(extents);
  std::vector<StridedAxis> axes;
  uint64_t to_stride = element_bytes;
  for (size_t k = work.axes.size(); k-- > 0;) {
    const uint64_t extent = role_box.end[k] - role_box.begin[k];
    const size_t a = work.source_axis[k];
    const uint64_t step = extent == 1 ? 0 : view.strides[k] / whole[a] * dense[a];
    axes.push_back(
        {extent, static_cast<int64_t>(step * element_bytes), static_cast<int64_t>(to_stride)});
    to_stride *= extent;
  }
  return axes;
}

}  // namespace

BandFeed::BandFeed(const ChunkedContext& context, std::vector<std::span<std::byte>> buffers,
                   std::span<std::byte> boxed, std::function<const ChunkedBundle*()> next_bundle)
    : context_(context),
      next_bundle_(std::move(next_bundle)),
      boxed_(boxed),
      slots_(buffers.size()),
      box_reader_(context.readers.Opener(), context.budget, context.stop) {
  for (size_t i = 0; i < buffers.size(); ++i) slots_[i].buffer = buffers[i];
}

BandFeed::~BandFeed() {
  for (Slot& slot : slots_) {
    for (IoFuture& read : slot.reads) {
      if (read.valid()) read.wait();
    }
  }
}

bool BandFeed::FindBand() {
  while (!is_at_end_) {
    if (bundle_ == nullptr) {
      if (context_.stop.stop_requested()) return false;
      bundle_ = next_bundle_();
      if (bundle_ == nullptr) {
        is_at_end_ = true;
        return false;
      }
      span_ = 0;
      band_ = bundle_->spans.empty() ? 0 : bundle_->spans.front().band_begin;
    }
    if (span_ < bundle_->spans.size()) return true;
    bundle_ = nullptr;
  }
  return false;
}

Result<bool> BandFeed::StartNext(Slot& slot) {
  if (!FindBand()) return false;
  const ChunkedPlan& plan = context_.plan;
  const BandSpan& span = bundle_->spans[span_];
  const RoleWork& work = plan.works[span.work];
  const BoundRole& bound = plan.model.roles[work.role];
  const TensorEntry& tensor = plan.catalog.tensors[TensorOf(work, bound, band_)];
  slot.fed = {bundle_, &work, band_, &slot.tile, slot.buffer.data(), false};
  slot.reads.clear();
  slot.readers.clear();
  slot.is_full = true;
  if (!work.is_boxed) {
    MakeTile(work.rows, tensor, BandRows(work, bound, band_), slot.tile);
    for (const TileRange& range : slot.tile.ranges) {
      CKPT_CHECK(range.window_offset + range.window_bytes <= slot.buffer.size());
      CKPT_TRY(std::shared_ptr<ObjectReader> reader, context_.readers.Get(range.object));
      slot.reads.push_back(reader->ReadWindow(
          range.range, slot.buffer.subspan(range.window_offset, range.window_bytes)));
      slot.readers.push_back(std::move(reader));
    }
  }
  if (++band_ == span.band_end && ++span_ < bundle_->spans.size())
    band_ = bundle_->spans[span_].band_begin;
  slot.fed.is_last_of_bundle = span_ == bundle_->spans.size();
  return true;
}

// Reads the band's box and lays it into canonical order, so that its rows are as any other's.
Result<void> BandFeed::ReadBoxed(Slot& slot) {
  const ChunkedPlan& plan = context_.plan;
  const RoleWork& work = *slot.fed.work;
  const BoundRole& bound = plan.model.roles[work.role];
  const TensorEntry& tensor = plan.catalog.tensors[TensorOf(work, bound, slot.fed.band)];
  const RoleBox role_box = BandBox(work, slot.fed.band);
  const uint32_t element_bytes = ElementBytes(tensor.dtype);
  uint64_t bytes = element_bytes;
  for (size_t k = 0; k < work.axes.size(); ++k) bytes *= role_box.end[k] - role_box.begin[k];
  const uint64_t units = role_box.end[work.band_axis] - role_box.begin[work.band_axis];
  const uint64_t rows = bytes == 0 ? 0 : work.IsVector() ? 1 : units * work.rows_per_unit;
  LayRows(rows, rows == 0 ? 0 : bytes / rows, slot.tile);
  slot.fed.input = boxed_.data();
  if (rows == 0) return {};

  const Box box = TensorBox(work, bound, role_box);
  CKPT_CHECK(bytes <= slot.buffer.size() && bytes <= boxed_.size());
  CKPT_TRY_VOID(box_reader_.Read(tensor, box, slot.buffer.first(bytes)));
  PermuteCopy(slot.buffer.data(), boxed_.data(),
              ToCanonical(work, bound.view, box, role_box, element_bytes), element_bytes);
  return {};
}

Result<void> BandFeed::WaitFor(Slot& slot) {
  const ChunkedPlan& plan = context_.plan;
  const RoleWork& work = *slot.fed.work;
  const auto of_tensor = [&](Error error) {
    const size_t tensor = TensorOf(work, plan.model.roles[work.role], slot.fed.band);
    return Where("tensor", plan.catalog.tensors[tensor].name)(std::move(error));
  };
  if (work.is_boxed) {
    const uint64_t before = box_reader_.requested_bytes();
    CKPT_TRY_VOID(ReadBoxed(slot).map_error(of_tensor));
    context_.progress.read_bytes += box_reader_.requested_bytes() - before;
    return {};
  }
  for (size_t i = 0; i < slot.reads.size(); ++i) {
    Result<void> read = slot.reads[i].get();
    if (!read) return Fail(of_tensor(std::move(read).error()));
    context_.progress.read_bytes += slot.tile.ranges[i].range.size();
  }
  return {};
}

Result<FedBand> BandFeed::Next() {
  if (context_.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
  Slot& slot = slots_[turn_];
  if (!slot.is_full) {
    CKPT_TRY(const bool has_band, StartNext(slot));
    if (!has_band) return FedBand{};
  }
  // Read ahead before waiting, so that the disk never rests while we work.
  for (size_t i = 1; i < slots_.size(); ++i) {
    Slot& next = slots_[(turn_ + i) % slots_.size()];
    if (next.is_full) continue;
    CKPT_TRY(const bool has_band, StartNext(next));
    if (!has_band) break;
  }
  turn_ = (turn_ + 1) % slots_.size();
  CKPT_TRY_VOID(WaitFor(slot));
  slot.is_full = false;
  return slot.fed;
}

}  // namespace ckpt
