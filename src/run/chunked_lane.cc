#include "run/chunked_lane.h"

#include "base/check.h"

namespace ckpt {

Result<std::unique_ptr<ChunkedLane>> ChunkedLane::Make(const ChunkedContext& context) {
  const ChunkedMemory& memory = context.plan.memory;
  std::unique_ptr<ChunkedLane> lane(new ChunkedLane(
      context));  // NOLINT(cppcoreguidelines-owning-memory): the constructor is private
  CKPT_TRY(Grant grant, context.budget.Acquire(memory.lane_bytes, context.stop));
  CKPT_TRY(lane->arena_, Buffer::Allocate(std::move(grant)));
  uint64_t at = 0;
  const auto take = [&](uint64_t bytes) {
    const std::span<std::byte> span = lane->arena_.span(at, bytes);
    at += bytes;
    return span;
  };
  for (unsigned i = 0; i < memory.in_buffers; ++i)
    lane->in_buffers_.push_back(take(memory.in_bytes));
  lane->boxed_ = take(memory.boxed_bytes);
  for (unsigned i = 0; i < memory.out_buffers; ++i)
    lane->out_buffers_.push_back(take(memory.out_bytes));
  lane->writes_.resize(memory.out_buffers);
  lane->packed_ = take(memory.packed_bytes);
  lane->staging_ = take(memory.staging_bytes);
  return lane;
}

ChunkedLane::~ChunkedLane() {
  for (std::vector<IoFuture>& writes : writes_) {
    for (IoFuture& write : writes) {
      if (write.valid()) write.wait();
    }
  }
}

Result<void> ChunkedLane::Run(const std::function<const ChunkedBundle*()>& next) {
  BandFeed feed(context_, in_buffers_, boxed_, next);
  while (true) {
    CKPT_TRY(const FedBand fed, feed.Next());
    if (fed.bundle == nullptr) return {};
    CKPT_TRY_VOID(Process(fed));
  }
}

Result<void> ChunkedLane::Process(const FedBand& fed) {
  if (!files_) {
    CKPT_TRY(files_, BundleFiles::Open(context_, *fed.bundle, packed_));
  }
  context_.records.Pulse();
  CKPT_TRY_VOID(WaitForWrites(turn_));
  const BandInput input{fed.band, fed.tile, fed.input};
  std::span<std::byte> rest = out_buffers_[turn_];
  for (const Product& product : fed.work->products) {
    const std::span<std::byte> out = rest.first(product.chunks * product.stride_bytes);
    rest = rest.subspan(out.size());
    CKPT_TRY(const MadeProduct made,
             MakeProduct(context_.plan, *fed.work, product, input, staging_, out));
    CKPT_TRY_VOID(files_->Write(*fed.work, product, made, fed.band, out, writes_[turn_]));
  }
  turn_ = (turn_ + 1) % out_buffers_.size();
  if (!fed.is_last_of_bundle) return {};
  for (size_t buffer = 0; buffer < writes_.size(); ++buffer) CKPT_TRY_VOID(WaitForWrites(buffer));
  CKPT_TRY_VOID(files_->Commit());
  files_.reset();
  return {};
}

Result<void> ChunkedLane::WaitForWrites(size_t buffer) {
  Result<void> first;
  for (IoFuture& write : writes_[buffer]) {
    Result<void> done = write.get();
    if (!done && first) first = std::move(done);
  }
  writes_[buffer].clear();
  return first;
}

}  // namespace ckpt
