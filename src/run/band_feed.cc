#include "run/band_feed.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "plan/read_bytes.h"
#include "run/laid_box.h"

namespace ckpt {

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
  LayRows({0, 0, rows}, rows == 0 ? 0 : bytes / rows, slot.tile);
  slot.fed.input = boxed_.data();
  if (rows == 0) return {};

  const Box box = TensorBox(bound, work.source_axis, role_box);
  CKPT_CHECK(bytes <= slot.buffer.size() && bytes <= boxed_.size());
  CKPT_TRY_VOID(box_reader_.Read(tensor, box, slot.buffer.first(bytes)));
  std::vector<size_t> order(work.axes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  LayBox(bound.view, work.source_axis, box, role_box, order, element_bytes, slot.buffer.data(),
         boxed_.data());
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
    context_.progress.AddRead(box_reader_.requested_bytes() - before,
                              BandReadBytes(plan, work, slot.fed.band));
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
