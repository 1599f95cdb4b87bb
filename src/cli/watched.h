#pragma once

#include <functional>

#include "cli/progress_view.h"
#include "cli/signals.h"
#include "run/execute.h"

namespace ckpt {

/// SIGINT or SIGTERM as the error that ends the program: 130 or 143.
tl::unexpected<Error> StoppedBy(int signal, const char* remedy);

/// Runs `work` under a watch that shows progress and asks for a stop on SIGINT and SIGTERM.
/// `remedy`: what to do after a stop. Errors: those of `work`; kInterrupted or kTerminated.
template <class T>
Result<T> RunWatched(const Totals& totals, uint64_t budget_bytes, bool is_quiet, const char* remedy,
                     const std::function<Result<T>(Watch&)>& work) {
  StopSignals signals;
  Watch watch;
  Result<T> result = Fail(Code::kInternal, "not run");
  {
    ProgressView view(totals, budget_bytes, is_quiet);
    watch.tick = [&](const Progress& progress) {
      if (signals.Poll() != 0) watch.stop.request_stop();
      view.Tick(progress);
    };
    result = work(watch);
  }
  if (!result && result.error().code == Code::kInterrupted)
    return StoppedBy(signals.Poll(), remedy);
  return result;
}

}  // namespace ckpt
