#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// The checksum of bytes of one check's range, as read; of the check's kind.
struct CheckPart {
  uint32_t check = 0;  ///< into Catalog::checks
  uint64_t begin = 0;  ///< in its object
  uint64_t size_bytes = 0;
  uint32_t sum = 0;
};

/// Thread-safe. Holds what a run reads of its source against the checksums that the catalog knows
/// (Catalog::checks): readers of a run are wrapped, and whatever passes through them is noted in
/// the log of the thread that waits for it, whatever order and parts it comes in. A bundle's log
/// goes into its record, so that parts read by several processes are judged together. What nobody
/// reads is fetched for it where it is little: the headers. Catalog must outlive it; the collector
/// must outlive the readers.
class SourceChecks {
 public:
  explicit SourceChecks(const Catalog& catalog) : catalog_(catalog) {}
  SourceChecks(const SourceChecks&) = delete;
  SourceChecks& operator=(const SourceChecks&) = delete;

  /// `reader` of catalog.objects[object], or one that also counts what it reads. The CRC is made by
  /// the thread that waits for the read, while the bytes are in its cache.
  std::unique_ptr<ObjectReader> Watch(std::unique_ptr<ObjectReader> reader, uint32_t object);

  /// Bytes of an object that have been read, from `begin` on.
  void Add(uint32_t object, uint64_t begin, std::span<const std::byte> bytes);

  /// The calling thread's log since its last call, neighbours joined; the log is empty then.
  std::vector<CheckPart> Take();
  /// Parts to be judged: of a bundle that is done, by whomever.
  void Keep(std::span<const CheckPart> parts);

  /// Reads what nobody has read of objects that have a checksum as a whole, where it is little.
  /// Call when all reads have ended and all parts are kept.
  Result<void> ReadTheRest(Store& store);

  /// What has been checked, and what came of it.
  struct Verdict {
    uint64_t checked = 0;     ///< read whole, and right
    uint64_t incomplete = 0;  ///< not read whole: nothing can be said
  };
  /// Judges what was kept, and what lies in logs. Call when all reads have ended. kBadInput with
  /// file and record where the bytes differ from their checksum.
  Result<Verdict> Finish() const;
  /// Of what Finish() judges, into Catalog::checks, ascending: those whose bytes differ from their
  /// checksum.
  std::vector<uint32_t> Damaged() const;

 private:
  using Part = std::pair<uint64_t, uint32_t>;  // end, checksum
  struct State {
    std::map<uint64_t, Part> parts;  // by begin; disjoint, neighbours are joined
    bool is_given_up = false;        // too many parts for its memory
  };
  using ThreadLog = std::map<uint32_t, State>;  // by check
  static void AddTo(State& state, StoredCheck::Kind kind, ByteRange range,
                    std::span<const std::byte> bytes);
  std::vector<CheckPart> AllParts() const;
  static void AddParts(const ThreadLog& log, std::vector<CheckPart>& parts);

  const Catalog& catalog_;
  mutable std::mutex mutex_;
  std::map<std::thread::id, ThreadLog> logs_;  // each is changed by its thread only
  std::vector<CheckPart> kept_;
};

}  // namespace ckpt
