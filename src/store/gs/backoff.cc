#include "store/gs/backoff.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "base/random.h"

namespace ckpt::gs {

Backoff::Backoff(const http::EngineOptions& options)
    : first_(options.first_delay),
      cap_(options.delay_cap),
      deadline_(options.deadline),
      stop_(options.stop),
      longest_(options.first_delay),
      since_(std::chrono::steady_clock::now()),
      random_(static_cast<uint32_t>(RandomBits())) {}

bool Backoff::Wait() {
  const auto limit = std::max<int64_t>(1, std::min(longest_, cap_).count());
  longest_ = std::min(longest_ * 2, cap_);
  const std::chrono::milliseconds pause(std::uniform_int_distribution<int64_t>(0, limit)(random_));
  if (std::chrono::steady_clock::now() + pause - since_ > deadline_) return false;
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop_, pause, [] { return false; });
  return !stop_.stop_requested();
}

void Backoff::Reset() {
  longest_ = first_;
  since_ = std::chrono::steady_clock::now();
}

}  // namespace ckpt::gs
