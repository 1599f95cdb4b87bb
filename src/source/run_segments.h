#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "base/byte_range.h"
#include "source/box_runs.h"

namespace ckpt {

/// Runs that one read fetches together.
struct RunSegment {
  ByteRange range;  ///< from the source's first element
  BoxRun first;     ///< lies at range.begin
  BoxRuns rest;     ///< a bookmark: the runs after the first
  uint64_t rest_count = 0;
  /// Copies the runs out of the range's bytes.
  void Copy(std::span<const std::byte> bytes, std::span<std::byte> out) const;
};

/// Cuts runs into segments of at most `most_bytes`, across gaps of at most kMergeGapBytes.
class RunSegments {
 public:
  RunSegments(BoxRuns runs, uint64_t most_bytes);
  std::optional<RunSegment> Next();

 private:
  BoxRuns runs_;
  const uint64_t most_bytes_;
  BoxRun current_;
  bool has_current_ = false;
};

/// Copies runs out of the source's bytes as these come by, front to back.
class RunSink {
 public:
  /// `position`: of the first byte that comes; no run begins before it.
  explicit RunSink(BoxRuns runs, uint64_t position = 0)
      : runs_(std::move(runs)), position_(position) {
    has_current_ = runs_.Next(current_);
  }
  /// The next bytes of the source.
  void Take(std::span<const std::byte> bytes, std::span<std::byte> out);

 private:
  BoxRuns runs_;
  BoxRun current_;
  bool has_current_ = false;
  uint64_t position_;
};

}  // namespace ckpt
