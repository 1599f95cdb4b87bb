#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"
#include "store/store.h"

namespace ckpt {

class IoGroup;

/// Thread-safe. The I/O engine of files: a few threads that make blocking calls, fed through one
/// bounded queue. Why not io_uring: from 1 MiB a call on it gains nothing measurable
/// (docs/decisions/0003-direct-io.md).
class IoPool {
 public:
  using Work = std::function<Result<void>()>;

  /// kResources if the system refuses a thread.
  static Result<std::unique_ptr<IoPool>> Start(unsigned threads);
  IoPool(const IoPool&) = delete;
  IoPool& operator=(const IoPool&) = delete;
  /// Does what is queued, then joins the threads.
  ~IoPool();

 private:
  friend class IoGroup;
  struct Job {
    Work work;
    std::promise<Result<void>> done;
    IoGroup* group = nullptr;
  };

  IoPool() = default;
  void Post(Job job);  // waits while the queue is full
  void Loop();

  std::mutex mutex_;
  std::condition_variable queued_;
  std::condition_variable taken_;
  std::deque<Job> jobs_;
  bool is_ending_ = false;
  std::vector<std::thread> threads_;
};

/// Thread-safe. The operations under way on one open file; its end waits for them, so no descriptor
/// is closed (and its number reused) under a read or write whose future somebody dropped. Must not
/// outlive its pool.
class IoGroup {
 public:
  explicit IoGroup(IoPool& pool) : pool_(pool) {}
  IoGroup(const IoGroup&) = delete;
  IoGroup& operator=(const IoGroup&) = delete;
  ~IoGroup() { Wait(); }

  IoFuture Post(IoPool::Work work);
  /// Until nothing is under way.
  void Wait();

 private:
  friend class IoPool;
  void End();

  IoPool& pool_;
  std::mutex mutex_;
  std::condition_variable ended_;
  size_t under_way_ = 0;
};

}  // namespace ckpt
