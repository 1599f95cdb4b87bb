#include "run/band_feed.h"

#include <algorithm>

#include "base/check.h"
#include "kernel/transpose.h"

namespace ckpt {
namespace {

ArrayPlan ReadPlan(const RoleWork& work, const TensorEntry& tensor) {
  ArrayPlan plan;
  plan.rows = work.rows;
  plan.source_dtype = tensor.dtype;
  return plan;
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
  const TensorEntry& tensor =
      plan.catalog.tensors[TensorOf(work, plan.model.roles[work.role], band_)];
  slot.fed = {bundle_, &work, band_, &slot.tile, slot.buffer.data(), false};
  slot.reads.clear();
  slot.readers.clear();
  slot.is_full = true;
  if (!work.is_boxed) {
    RowSpan rows = BandRows(work, band_);
    // With a tensor per expert, each begins with row 0.
    if (!plan.model.roles[work.role].parts.empty() && work.expert_axis) {
      const uint64_t of_expert = work.axes[work.band_axis].extent * work.rows_per_unit;
      const uint64_t skipped = band_ / work.bands * of_expert;
      rows.row_begin -= skipped;
      rows.row_end -= skipped;
    }
    MakeTile(ReadPlan(work, tensor), tensor, rows, slot.tile);
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
  Tile& tile = slot.tile;
  tile.ranges.clear();
  tile.parts.clear();
  tile.first_part.clear();
  uint64_t elements = 1;
  for (size_t k = 0; k < work.axes.size(); ++k) elements *= role_box.end[k] - role_box.begin[k];
  const uint64_t n_rows =
      work.band_axis >= work.first_column_axis
          ? (elements > 0 ? 1 : 0)
          : (role_box.end[work.band_axis] - role_box.begin[work.band_axis]) * work.rows_per_unit;
  const uint64_t row_bytes = n_rows == 0 ? 0 : elements / n_rows * ElementBytes(tensor.dtype);
  tile.rows = {0, 0, n_rows};
  for (uint64_t row = 0; row < n_rows; ++row) {
    tile.first_part.push_back(static_cast<uint32_t>(row));
    tile.parts.push_back({row * row_bytes, row_bytes});
  }
  tile.first_part.push_back(static_cast<uint32_t>(n_rows));
  slot.fed.input = boxed_.data();
  if (elements == 0) return {};

  const Box box = TensorBox(work, bound, role_box);
  const uint64_t bytes = elements * ElementBytes(tensor.dtype);
  CKPT_CHECK(bytes <= slot.buffer.size() && bytes <= boxed_.size());
  CKPT_TRY_VOID(box_reader_.Read(tensor, box, slot.buffer.first(bytes)));

  // Strides of the role's axes in the dense box, and in canonical order.
  const size_t rank = tensor.shape.rank();
  std::vector<uint64_t> whole(rank);
  std::vector<uint64_t> dense(rank);
  uint64_t whole_stride = 1;
  uint64_t dense_stride = 1;
  for (size_t a = rank; a-- > 0;) {
    whole[a] = whole_stride;
    dense[a] = dense_stride;
    whole_stride *= tensor.shape[a];
    dense_stride *= box.end[a] - box.begin[a];
  }
  std::vector<StridedAxis> axes;
  auto to_stride = static_cast<int64_t>(ElementBytes(tensor.dtype));
  for (size_t k = work.axes.size(); k-- > 0;) {
    const uint64_t extent = role_box.end[k] - role_box.begin[k];
    size_t place = 0;
    while (place + 1 < rank && (whole[place] > bound.view.strides[k] || tensor.shape[place] == 1))
      ++place;
    const uint64_t step = extent == 1 ? 0 : bound.view.strides[k] / whole[place] * dense[place];
    axes.push_back({extent, static_cast<int64_t>(step * ElementBytes(tensor.dtype)), to_stride});
    to_stride *= static_cast<int64_t>(extent);
  }
  PermuteCopy(slot.buffer.data(), boxed_.data(), axes, ElementBytes(tensor.dtype));
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
