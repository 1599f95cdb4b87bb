#pragma once

#include <cstdint>
#include <string>

#include "run/record.h"
#include "store/store.h"

namespace ckpt {

/// Where a run keeps what it has done, beside the output it makes: folder kStateFolder of the
/// destination.
inline constexpr std::string_view kStateFolder = ".ckpt-state";
/// The folder below it of a run that shares its destination with others; kStateFolder for "".
std::string StateFolder(std::string_view name);

/// One small create-only record per finished bundle, side values above 64 KiB in a file of their
/// own written before it. Thread-safe: bundles are recorded by several lanes; a bundle is recorded
/// once.
class Journal {
 public:
  /// `state_name`: of the run's folder below kStateFolder, or "".
  Journal(Store& store, std::string run_digest, std::string_view state_name = "")
      : store_(store), run_digest_(std::move(run_digest)), folder_(StateFolder(state_name)) {}
  /// Durable when it returns; whoever sees the record knows that the bundle's bytes were durable
  /// before.
  Result<void> Put(const BundleRecord& record);
  Result<BundleRecord> Get(uint32_t number) const;
  /// Removes all records and side files.
  Result<void> Clear();

 private:
  std::string RecordName(uint32_t number) const;
  std::string SideName(uint32_t number) const;
  Store& store_;
  std::string run_digest_;
  std::string folder_;
};

}  // namespace ckpt
