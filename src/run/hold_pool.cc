#include "run/hold_pool.h"

#include <utility>

namespace ckpt {

Result<std::unique_ptr<HoldPool>> HoldPool::Make(MemoryBudget& budget, unsigned slots,
                                                 uint64_t bytes) {
  auto pool = std::make_unique<HoldPool>();
  for (unsigned i = 0; i < slots && bytes > 0; ++i) {
    CKPT_TRY(Grant grant, budget.Acquire(bytes));
    CKPT_TRY(Buffer buffer, Buffer::Allocate(std::move(grant)));
    pool->buffers_.push_back(std::move(buffer));
  }
  for (Buffer& buffer : pool->buffers_) pool->free_.push_back(&buffer);
  return pool;
}

HoldPool::Hold::Hold(Hold&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), buffer_(std::exchange(other.buffer_, nullptr)) {}

HoldPool::Hold& HoldPool::Hold::operator=(Hold&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

HoldPool::Hold::~Hold() {
  if (pool_ == nullptr) return;
  {
    const std::lock_guard lock(pool_->mutex_);
    pool_->free_.push_back(buffer_);
  }
  pool_->freed_.notify_one();
}

Result<HoldPool::Hold> HoldPool::Acquire(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (!freed_.wait(lock, std::move(stop), [this] { return !free_.empty(); }))
    return Fail(Code::kInterrupted, "stopped while waiting for memory");
  Buffer* buffer = free_.back();
  free_.pop_back();
  return Hold(this, buffer);
}

}  // namespace ckpt
