#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "run/record.h"
#include "store/store.h"

namespace ckpt {

/// Where a run keeps what it has done, beside the output it makes: folder kStateFolder of the
/// destination.
inline constexpr std::string_view kStateFolder = ".ckpt-state";
/// The folder below it of a run that shares its destination with others; kStateFolder for "".
std::string StateFolder(std::string_view name);
/// Where a file system keeps what a bundle or the commit writes until it is whole.
std::string TemporaryFolder(std::string_view state_name);
/// How an object of the state folder's own is made.
CreateOptions StateObject(std::string_view state_name, bool is_create_only);

/// Whether side values are wanted that lie in a file beside the record.
enum class Sides { kRead, kLeft };

/// One small create-only record per finished bundle, side values above 64 KiB in a file of their
/// own written before it. Thread-safe, and safe beside other processes of the same run: whoever
/// finishes a bundle first records it. The first kMostKeptBytes of records that it has written or
/// read stay in memory, but not their side files, as a commit asks for most records two or three
/// times, and each is a request to a bucket: whoever records a bundle anew records the same, so
/// they stay true.
class Journal {
 public:
  /// `state_name`: of the run's folder below kStateFolder, or "". `readers`: records that may be in
  /// memory at one time while many are read.
  Journal(Store& store, std::string run_digest, std::string_view state_name = "",
          unsigned readers = 1)
      : store_(store),
        readers_(readers),
        run_digest_(std::move(run_digest)),
        state_name_(state_name),
        folder_(StateFolder(state_name)) {}
  const std::string& state_name() const { return state_name_; }
  unsigned readers() const { return readers_; }
  /// Durable when it returns; whoever sees the record knows that the bundle's bytes were durable
  /// before. An equal record of another process is success. Errors: kIo where it recorded other
  /// bytes.
  Result<void> Put(const BundleRecord& record);
  Result<BundleRecord> Get(uint32_t number, Sides sides = Sides::kRead) const;
  /// The bundles that are recorded, ascending, by one listing.
  Result<std::vector<uint32_t>> List() const;
  /// Whether one is.
  Result<bool> Has(uint32_t number) const;
  /// Forgets bundles: their bytes are gone, or not what was recorded.
  Result<void> Drop(std::span<const uint32_t> numbers);
  Result<void> DropAll();
  /// Reads records side by side and hands each to `take`, one at a time, in no order. Those that
  /// are damaged go to `damaged`; where that is null they are an error.
  Result<void> ForEach(std::span<const uint32_t> numbers,
                       const std::function<Result<void>(BundleRecord)>& take,
                       std::vector<uint32_t>* damaged = nullptr, Sides sides = Sides::kRead) const;
  /// Removes everything that only a run at work needs: records, side files, what shards said.
  Result<void> Clear();

 private:
  static constexpr uint64_t kMostKeptBytes = 4ULL << 20;

  std::string RecordName(uint32_t number) const;
  std::string SideName(uint32_t number) const;
  Result<BundleRecord> Read(uint32_t number, Sides sides = Sides::kRead) const;
  Result<BundleRecord> Decode(uint32_t number, std::string_view record, Sides sides) const;
  std::optional<std::string> Kept(uint32_t number) const;
  void Keep(uint32_t number, std::string record) const;
  void Forget(uint32_t number);
  Result<void> CompareWithOther(const BundleRecord& record, Error exists);
  Store& store_;
  const unsigned readers_;
  const std::string run_digest_;
  const std::string state_name_;
  const std::string folder_;
  mutable std::mutex mutex_;  // of what follows
  mutable std::map<uint32_t, std::string> kept_;
  mutable uint64_t kept_bytes_ = 0;
};

}  // namespace ckpt
