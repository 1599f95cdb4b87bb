#pragma once

#include <functional>

#include "cli/progress_view.h"
#include "cli/signals.h"
#include "run/execute.h"

namespace ckpt {

/// SIGINT or SIGTERM as the error that ends the program: 130 or 143.
tl::unexpected<Error> StoppedBy(int signal, const char* remedy);

/// The error as what a stop signal made of it, where it is kInterrupted and a signal has come;
/// for work that nobody watched (reading headers over the network). Main thread only.
Error AsStopped(Error error, const char* remedy);

/// What to do after a conversion was stopped.
inline constexpr const char* kAfterStop =
    "what was finished is kept: run the same command again to go on";

/// Ends the program at once, with the exit status of the signal: what is recorded is whole on disk.
[[noreturn]] void EndAtOnce(int signal);

/// Runs `work` under a watch that feeds `view` and asks for a stop on SIGINT and SIGTERM.
/// `remedy`: what to do after a stop. Errors: those of `work`; kInterrupted or kTerminated.
template <class T, class View>
Result<T> RunWatchedBy(View& view, const char* remedy,
                       const std::function<Result<T>(Watch&)>& work) {
  StopSignals signals;
  Watch watch;
  watch.tick = [&](const Progress& progress) {
    if (signals.Poll() != 0) watch.stop.request_stop();
    if (signals.IsUrgent()) EndAtOnce(signals.Poll());
    view.Tick(progress);
  };
  Result<T> result = work(watch);
  if (!result && result.error().code == Code::kInterrupted)
    return StoppedBy(signals.Poll(), remedy);
  return result;
}

/// The same with progress on standard error.
template <class T>
Result<T> RunWatched(const Totals& totals, uint64_t budget_bytes, bool is_quiet, const char* remedy,
                     const std::function<Result<T>(Watch&)>& work) {
  ProgressView view(totals, budget_bytes, is_quiet);
  return RunWatchedBy<T>(view, remedy, work);
}

}  // namespace ckpt
