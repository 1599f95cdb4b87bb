#include "run/crew.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <vector>

namespace ckpt {
namespace {

constexpr auto kTick = std::chrono::milliseconds(100);

// No thread of ours may die of an exception.
Result<void> Guarded(const std::function<Result<void>(size_t)>& work, size_t lane) {
  try {
    return work(lane);
  } catch (const std::bad_alloc&) {
    return Fail(Code::kResources, "out of memory", "give this process more memory");
  } catch (const std::exception& error) {
    return Fail(Code::kInternal, fmt::format("unexpected: {}", error.what()), "please report this");
  }
}

}  // namespace

Result<void> RunCrew(size_t lanes, const std::function<Result<void>(size_t)>& work,
                     const Progress& progress, Watch& watch) {
  size_t running = lanes;
  std::mutex mutex;
  std::condition_variable done;
  std::optional<Error> first_error;
  std::vector<std::jthread> threads;
  threads.reserve(lanes);
  for (size_t lane = 0; lane < lanes; ++lane) {
    threads.emplace_back([&, lane] {
      Result<void> result = Guarded(work, lane);
      const std::lock_guard lock(mutex);
      // A stop is the consequence of another lane's error, or of the user's wish; an error
      // outweighs it.
      if (!result && (!first_error || first_error->code == Code::kInterrupted))
        first_error = std::move(result).error();
      if (first_error) watch.stop.request_stop();
      --running;
      done.notify_all();
    });
  }
  std::unique_lock lock(mutex);
  while (running > 0) {
    done.wait_for(lock, kTick);
    lock.unlock();
    watch.tick(progress);
    lock.lock();
  }
  lock.unlock();
  threads.clear();
  if (first_error) return Fail(*std::move(first_error));
  return {};
}

Result<void> RunAlone(const std::function<Result<void>()>& work, const Progress& progress,
                      Watch& watch) {
  return RunCrew(
      1, [&](size_t) { return work(); }, progress, watch);
}

}  // namespace ckpt
