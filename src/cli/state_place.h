#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/registry.h"
#include "run/status.h"

namespace ckpt {

/// The destination whose state folder tells of an output.
struct StatePlace {
  std::shared_ptr<Store> store;
  std::vector<RunStatus> runs;  ///< those that tell of it, by state name
};

/// The runs that left their marks in `dest`. Errors: kUsage for a sink; those of the store.
Result<StatePlace> ReadStateOf(const std::string& dest, const StoreAccess& access);

/// The same; where `dest` has none, and is a local path, those in the nearest folder above it whose
/// outputs are `dest`, lie in it or hold it. No runs where there are none either.
Result<StatePlace> FindStateOf(const std::string& dest, const StoreAccess& access);

/// The machine's clock, nanoseconds since 1970.
int64_t NowNs();

}  // namespace ckpt
