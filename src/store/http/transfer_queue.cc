#include "store/http/transfer_queue.h"

#include <utility>

namespace ckpt::http {

void TransferQueue::Add(std::unique_ptr<Transfer> transfer) {
  std::unique_lock lock(mutex_);
  const uint64_t number = next_number_++;
  if (transfer->authorizer()) return Await(number, std::move(transfer), {}, std::move(lock));
  PutReady(number, std::move(transfer));
  lock.unlock();
  hooks_.wake();
}

void TransferQueue::AddAt(std::unique_ptr<Transfer> transfer, Time due) {
  {
    const std::lock_guard lock(mutex_);
    delayed_.emplace(due, std::move(transfer));
  }
  hooks_.wake();
}

void TransferQueue::AddForRenewal(std::unique_ptr<Transfer> transfer) {
  std::unique_lock lock(mutex_);
  Headers refused = transfer->authorization();
  Await(next_number_++, std::move(transfer), std::move(refused), std::move(lock));
}

// The hook is called without the lock: it takes another one.
void TransferQueue::Await(uint64_t number, std::unique_ptr<Transfer> transfer,
                          std::optional<Headers> refused, std::unique_lock<std::mutex> lock) {
  CredentialJob job{number, transfer->authorizer(), std::move(refused)};
  unauthorized_.emplace(number, std::move(transfer));
  lock.unlock();
  hooks_.authorize(std::move(job));
  hooks_.wake();  // after a stop nobody waits for the credentials
}

void TransferQueue::PutReady(uint64_t number, std::unique_ptr<Transfer> transfer) {
  const std::string origin = transfer->url().Origin();
  auto& line = lines_.try_emplace(origin, Line{Pacer(connections_), {}}).first->second;
  line.ready.emplace(number, std::move(transfer));
}

void TransferQueue::Authorized(uint64_t number, Headers headers) {
  {
    const std::lock_guard lock(mutex_);
    auto node = unauthorized_.extract(number);
    if (node.empty()) return;
    node.mapped()->Authorized(std::move(headers));
    PutReady(number, std::move(node.mapped()));
  }
  hooks_.wake();
}

std::unique_ptr<Transfer> TransferQueue::TakeUnauthorized(uint64_t number) {
  const std::lock_guard lock(mutex_);
  auto node = unauthorized_.extract(number);
  return node.empty() ? nullptr : std::move(node.mapped());
}

std::unique_ptr<Transfer> TransferQueue::Take(Time now) {
  std::vector<std::unique_ptr<Transfer>> due;
  std::unique_ptr<Transfer> taken;
  {
    const std::lock_guard lock(mutex_);
    while (!delayed_.empty() && delayed_.begin()->first <= now) {
      std::unique_ptr<Transfer> transfer = std::move(delayed_.begin()->second);
      delayed_.erase(delayed_.begin());
      // A token may have expired meanwhile.
      if (transfer->authorizer()) {
        due.push_back(std::move(transfer));
      } else {
        PutReady(next_number_++, std::move(transfer));
      }
    }
    Line* oldest = nullptr;
    for (auto& [origin, line] : lines_) {
      if (line.ready.empty() || !line.pacer.IsOpen()) continue;
      if (oldest == nullptr || line.ready.begin()->first < oldest->ready.begin()->first)
        oldest = &line;
    }
    if (oldest != nullptr) {
      oldest->pacer.Begin();
      taken = std::move(oldest->ready.begin()->second);
      oldest->ready.erase(oldest->ready.begin());
    }
  }
  for (auto& transfer : due) Add(std::move(transfer));
  return taken;
}

void TransferQueue::Release(const std::string& origin, Pacer::Verdict verdict, Time begun,
                            Time now) {
  bool has_ready = false;
  {
    const std::lock_guard lock(mutex_);
    Line& line = lines_.at(origin);
    line.pacer.End(verdict, begun, now);
    has_ready = !line.ready.empty();
  }
  if (has_ready) hooks_.wake();
}

std::optional<Time> TransferQueue::NextDue() const {
  const std::lock_guard lock(mutex_);
  if (delayed_.empty()) return std::nullopt;
  return delayed_.begin()->first;
}

std::vector<std::unique_ptr<Transfer>> TransferQueue::TakeIf(
    const std::function<bool(const Transfer&)>& is_taken) {
  std::vector<std::unique_ptr<Transfer>> taken;
  const auto take_from = [&](auto& waiting) {
    for (auto next = waiting.begin(); next != waiting.end();) {
      if (!is_taken(*next->second)) {
        ++next;
        continue;
      }
      taken.push_back(std::move(next->second));
      next = waiting.erase(next);
    }
  };
  const std::lock_guard lock(mutex_);
  for (auto& [origin, line] : lines_) take_from(line.ready);
  take_from(delayed_);
  take_from(unauthorized_);
  return taken;
}

}  // namespace ckpt::http
