#include "base/memory_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/units.h"

namespace ckpt {

Grant::Grant(Grant&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Grant& Grant::operator=(Grant&& other) noexcept {
  if (this != &other) {
    if (budget_ != nullptr) budget_->Release(bytes_);
    budget_ = std::exchange(other.budget_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

Grant::~Grant() {
  if (budget_ != nullptr) budget_->Release(bytes_);
}

Result<Grant> MemoryBudget::Acquire(uint64_t bytes, std::stop_token stop) {
  if (bytes > limit_bytes_)
    return Fail(Code::kResources,
                fmt::format("{} of memory are needed at once, the budget is {}", FormatBytes(bytes),
                            FormatBytes(limit_bytes_)),
                "give a larger --memory");
  std::unique_lock lock(mutex_);
  const uint64_t ticket = next_ticket_++;
  const bool granted = freed_.wait(lock, std::move(stop), [&] {
    return serving_ == ticket && bytes <= limit_bytes_ - used_bytes_;
  });
  if (!granted) {
    // It may stand behind others: its turn is skipped when it comes.
    left_.insert(ticket);
    SkipLeft();
    freed_.notify_all();
    return Fail(Code::kInterrupted, "stopped while waiting for memory");
  }
  ++serving_;
  SkipLeft();
  used_bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, used_bytes_);
  freed_.notify_all();
  return Grant(this, bytes);
}

std::optional<Grant> MemoryBudget::TryAcquire(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (serving_ != next_ticket_ || bytes > limit_bytes_ - used_bytes_) return std::nullopt;
  used_bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, used_bytes_);
  return Grant(this, bytes);
}

void MemoryBudget::SkipLeft() {
  while (left_.erase(serving_) != 0) ++serving_;
}

void MemoryBudget::Release(uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    CKPT_CHECK(bytes <= used_bytes_);
    used_bytes_ -= bytes;
  }
  freed_.notify_all();
}

uint64_t MemoryBudget::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return used_bytes_;
}

uint64_t MemoryBudget::peak_bytes() const {
  const std::lock_guard lock(mutex_);
  return peak_bytes_;
}

}  // namespace ckpt
