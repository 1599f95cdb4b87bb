#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/crc32.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// Thread-safe. Holds what a run reads of its source against the CRC-32s that the catalog knows
/// (Catalog::checks): readers of a run are wrapped, and whatever passes through them is counted
/// once, in whatever order and parts it comes. Bytes that nobody reads are not fetched for it.
/// Catalog must outlive it; the collector must outlive the readers.
class SourceChecks {
 public:
  explicit SourceChecks(const Catalog& catalog);
  SourceChecks(const SourceChecks&) = delete;
  SourceChecks& operator=(const SourceChecks&) = delete;

  /// `reader` of catalog.objects[object], or one that also counts what it reads. The CRC is made by
  /// the thread that waits for the read, while the bytes are in its cache.
  std::unique_ptr<ObjectReader> Watch(std::unique_ptr<ObjectReader> reader, uint32_t object);

  /// Bytes of an object that have been read, from `begin` on.
  void Add(uint32_t object, uint64_t begin, std::span<const std::byte> bytes);

  /// What has been checked, and what came of it. Call when all reads have ended.
  struct Verdict {
    uint64_t checked = 0;     ///< read whole, and right
    uint64_t incomplete = 0;  ///< not read whole: nothing can be said
  };
  /// kBadInput with file and record where the bytes differ from their CRC.
  Result<Verdict> Finish() const;

 private:
  // A part of a check's range: being read, or read.
  struct Part {
    uint64_t end = 0;
    Crc32 crc;
    bool is_done = false;
  };
  struct State {
    std::map<uint64_t, Part> parts;  // by begin; neighbours that are done are one
    bool is_given_up = false;        // too many parts for its memory
  };
  static std::vector<ByteRange> Claim(State& state, ByteRange range);
  static void Settle(State& state, ByteRange range, const Crc32& crc);

  const Catalog& catalog_;
  std::mutex mutex_;
  std::vector<State> states_;  // by check
};

}  // namespace ckpt
