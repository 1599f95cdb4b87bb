#pragma once

#include <functional>

#include "base/result.h"
#include "run/execute.h"

namespace ckpt {

/// Runs `work(i)` for each of `lanes` lanes at once, each on a thread of its own, while the calling
/// thread watches. The first error stops all: watch.stop is requested, and the error returned once
/// every lane has ended. Exceptions of libraries end here.
Result<void> RunCrew(size_t lanes, const std::function<Result<void>(size_t)>& work,
                     const Progress& progress, Watch& watch);

/// One piece of work on a thread of its own, while the calling thread watches: a stop is noticed
/// also where no lane runs.
Result<void> RunAlone(const std::function<Result<void>()>& work, const Progress& progress,
                      Watch& watch);

}  // namespace ckpt
