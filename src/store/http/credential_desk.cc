#include "store/http/credential_desk.h"

#include <algorithm>
#include <utility>

namespace ckpt::http {
namespace {

bool IsSame(const Headers& a, const Headers& b) {
  return std::ranges::equal(a, b, [](const Header& x, const Header& y) {
    return x.name == y.name && x.value == y.value;
  });
}

// Nothing where the service has refused the only credentials there are.
std::optional<Result<Headers>> Obtain(const CredentialJob& job) {
  Result<Headers> headers = job.authorizer->Authorize();
  if (!headers || !job.refused || !IsSame(*headers, *job.refused)) return headers;
  // Only now: of many requests that were refused together, the first renews for all.
  if (!job.authorizer->Renew()) return std::nullopt;
  return job.authorizer->Authorize();
}

void Do(const CredentialJob& job, TransferQueue& queue) {
  std::optional<Result<Headers>> headers = Obtain(job);
  if (headers && *headers) return queue.Authorized(job.number, **std::move(headers));
  const std::unique_ptr<Transfer> transfer = queue.TakeUnauthorized(job.number);
  if (!transfer) return;
  if (headers) return transfer->Finish(Fail(std::move(*headers).error()));
  transfer->Finish(*transfer->Refused().result);
}

}  // namespace

void CredentialDesk::Post(CredentialJob job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
}

void CredentialDesk::Serve(TransferQueue& queue) {
  while (true) {
    CredentialJob job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return is_ending_ || !jobs_.empty(); });
      if (is_ending_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    Do(job, queue);
  }
}

void CredentialDesk::End() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
}

}  // namespace ckpt::http
