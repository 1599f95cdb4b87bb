#pragma once

#include <cstdint>
#include <string>

#include "run/record.h"
#include "store/store.h"

namespace ckpt {

/// Where a run keeps what it has done, beside the output it makes: folder kStateFolder of the
/// destination.
inline constexpr std::string_view kStateFolder = ".ckpt-state";

/// One small create-only record per finished bundle, side values above 64 KiB in a file of their
/// own written before it. Thread-safe: bundles are recorded by several lanes; a bundle is recorded
/// once.
class Journal {
 public:
  Journal(Store& store, std::string run_digest)
      : store_(store), run_digest_(std::move(run_digest)) {}
  /// Durable when it returns; whoever sees the record knows that the bundle's bytes were durable
  /// before.
  Result<void> Put(const BundleRecord& record);
  Result<BundleRecord> Get(uint32_t number) const;
  /// Removes all records and side files.
  Result<void> Clear();

 private:
  static std::string RecordName(uint32_t number);
  static std::string SideName(uint32_t number);
  Store& store_;
  std::string run_digest_;
};

}  // namespace ckpt
