#include "store/file/io_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <new>
#include <system_error>
#include <utility>

namespace ckpt {
namespace {

constexpr size_t kMaxQueuedJobs =
    256;  // far more than lanes read ahead: a bound, not a tuning knob

// The threads take no signals, so that SIGTERM reaches whoever waits for it; SIGXFSZ (a write
// beyond ulimit -f) then stays pending and the write reports EFBIG.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

Result<void> RunGuarded(const IoPool::Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return Fail(Code::kResources, "out of memory in a file operation", "allow more memory");
  } catch (const std::exception& e) {
    return Fail(Code::kInternal, fmt::format("unexpected in a file operation: {}", e.what()),
                "please report this");
  }
}

}  // namespace

Result<std::unique_ptr<IoPool>> IoPool::Start(unsigned threads) {
  std::unique_ptr<IoPool> pool(
      new IoPool);  // NOLINT(cppcoreguidelines-owning-memory): private constructor
  const BlockedSignals blocked;
  try {
    for (unsigned i = 0; i < std::max(threads, 1U); ++i)
      pool->threads_.emplace_back([raw = pool.get()] { raw->Loop(); });
  } catch (const std::system_error& e) {
    return Fail(Code::kResources, fmt::format("cannot start an I/O thread: {}", e.what()),
                "raise the number of processes (ulimit -u, or the container's pids limit)");
  }
  return pool;
}

IoPool::~IoPool() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  queued_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void IoPool::Post(Job job) {
  {
    std::unique_lock lock(mutex_);
    taken_.wait(lock, [&] { return jobs_.size() < kMaxQueuedJobs; });
    jobs_.push_back(std::move(job));
  }
  queued_.notify_one();
}

void IoPool::Loop() {
  while (true) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      queued_.wait(lock, [&] { return is_ending_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    taken_.notify_one();
    job.done.set_value(RunGuarded(job.work));
    job.group->End();
  }
}

IoFuture IoGroup::Post(IoPool::Work work) {
  {
    const std::lock_guard lock(mutex_);
    ++under_way_;
  }
  IoPool::Job job{std::move(work), {}, this};
  IoFuture future = job.done.get_future();
  pool_.Post(std::move(job));
  return future;
}

void IoGroup::Wait() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [&] { return under_way_ == 0; });
}

void IoGroup::End() {
  const std::lock_guard lock(mutex_);
  --under_way_;
  ended_.notify_all();  // under the lock: the group may end as soon as it is released
}

}  // namespace ckpt
