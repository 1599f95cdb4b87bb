#include "run/hold_pool.h"

#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "store/store.h"

namespace ckpt {

Result<std::unique_ptr<HoldPool>> HoldPool::Make(MemoryBudget& budget, uint64_t bytes) {
  auto pool = std::make_unique<HoldPool>();
  if (bytes == 0) return pool;
  CKPT_TRY(Grant grant, budget.Acquire(bytes));
  CKPT_TRY(pool->buffer_, Buffer::Allocate(std::move(grant)));
  return pool;
}

HoldPool::Hold::Hold(Hold&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), span_(std::exchange(other.span_, {})) {}

HoldPool::Hold& HoldPool::Hold::operator=(Hold&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(span_, other.span_);
  return *this;
}

HoldPool::Hold::~Hold() {
  if (pool_ != nullptr) pool_->Release(span_);
}

// The first gap: what is low was touched before.
std::optional<uint64_t> HoldPool::FindRoom(uint64_t bytes) const {
  uint64_t at = 0;
  for (const auto& [begin, end] : taken_) {
    if (begin - at >= bytes) return at;
    at = RoundUp(end, kIoAlignment);
  }
  return at + bytes <= buffer_.size() ? std::optional(at) : std::nullopt;
}

Result<HoldPool::Hold> HoldPool::Acquire(uint64_t bytes, std::stop_token stop) {
  CKPT_CHECK(bytes <= buffer_.size());
  std::unique_lock lock(mutex_);
  const uint64_t turn = asked_++;
  std::optional<uint64_t> begin;
  const auto has_room = [&] { return turn == served_ && (begin = FindRoom(bytes)).has_value(); };
  if (!changed_.wait(lock, std::move(stop), has_room))
    return Fail(Code::kInterrupted, "stopped while waiting for memory");
  ++served_;
  taken_.emplace(*begin, *begin + bytes);
  lock.unlock();
  changed_.notify_all();  // there may be room for the next one, too
  return Hold(this, buffer_.span(*begin, bytes));
}

void HoldPool::Release(std::span<std::byte> span) {
  {
    const std::lock_guard lock(mutex_);
    taken_.erase(static_cast<uint64_t>(span.data() - buffer_.data()));
  }
  changed_.notify_all();
}

}  // namespace ckpt
