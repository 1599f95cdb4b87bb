#include "store/gs/part_pool.h"

#include <fmt/format.h>

#include <utility>

namespace ckpt::gs {

Result<std::unique_ptr<PartPool>> PartPool::Make(MemoryBudget& budget, size_t buffers,
                                                 size_t most_filling, uint64_t part_bytes,
                                                 std::stop_token stop) {
  auto pool = std::make_unique<PartPool>();
  pool->most_filling_ = most_filling;
  // One grant for all: two pools that each wait for their second half would wait for ever.
  const uint64_t each = UploadBuffer::GrantBytes(part_bytes);
  CKPT_TRY(Grant grant, budget.Acquire(buffers * each, std::move(stop)));
  CKPT_TRY(pool->memory_, Buffer::Allocate(std::move(grant)));
  for (size_t i = 0; i < buffers; ++i)
    pool->free_.push_back(UploadBuffer::Within(pool->memory_.span(i * each, each)));
  return pool;
}

Result<UploadBuffer> PartPool::Take() {
  std::unique_lock lock(mutex_);
  if (filling_ >= most_filling_)
    return Fail(
        Code::kInternal,
        fmt::format("more than {} parts of one object are being filled at one time", most_filling_),
        "please report this");
  ++filling_;
  changed_.wait(lock, [&] { return !free_.empty(); });
  UploadBuffer buffer = std::move(free_.back());
  free_.pop_back();
  return buffer;
}

void PartPool::Sent() {
  const std::lock_guard lock(mutex_);
  --filling_;
  ++sent_;
}

void PartPool::GiveBack(UploadBuffer buffer, bool was_sent) {
  // Told under the lock: whoever waits may end the pool as soon as it is free.
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(buffer));
  --(was_sent ? sent_ : filling_);
  changed_.notify_all();
}

void PartPool::WaitForSent() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return sent_ == 0; });
}

}  // namespace ckpt::gs
