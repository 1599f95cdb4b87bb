#include "source/run_segments.h"

#include <algorithm>
#include <cstring>

#include "source/read_batch.h"

namespace ckpt {

void RunSegment::Copy(std::span<const std::byte> bytes, std::span<std::byte> out) const {
  std::memcpy(out.data() + first.out, bytes.data(), first.bytes);
  BoxRuns runs = rest;
  BoxRun run;
  for (uint64_t i = 0; i < rest_count && runs.Next(run); ++i)
    std::memcpy(out.data() + run.out, bytes.data() + (run.source - range.begin), run.bytes);
}

RunSegments::RunSegments(BoxRuns runs, uint64_t most_bytes)
    : runs_(std::move(runs)), most_bytes_(most_bytes) {
  has_current_ = runs_.Next(current_);
}

std::optional<RunSegment> RunSegments::Next() {
  if (!has_current_) return std::nullopt;
  const uint64_t begin = current_.source;
  if (current_.bytes > most_bytes_) {
    const BoxRun part{begin, current_.out, most_bytes_};
    current_ = {begin + most_bytes_, current_.out + most_bytes_, current_.bytes - most_bytes_};
    return RunSegment{{begin, begin + most_bytes_}, part, runs_, 0};
  }
  RunSegment segment{{begin, begin + current_.bytes}, current_, runs_, 0};
  for (;;) {
    has_current_ = runs_.Next(current_);
    if (!has_current_) return segment;
    const uint64_t end = current_.source + current_.bytes;
    // Runs ascend, but those of a strided source may overlap (a gap is what lies between), and
    // those of overlapping windows begin anew.
    if (current_.source < begin || current_.source > segment.range.end + kMergeGapBytes ||
        end - begin > most_bytes_)
      return segment;
    segment.range.end = std::max(segment.range.end, end);
    ++segment.rest_count;
  }
}

void RunSink::Take(std::span<const std::byte> bytes, std::span<std::byte> out) {
  const uint64_t end = position_ + bytes.size();
  while (has_current_ && current_.source < end) {
    const uint64_t stop = std::min(current_.source + current_.bytes, end);
    const uint64_t count = stop - current_.source;
    std::memcpy(out.data() + current_.out, bytes.data() + (current_.source - position_), count);
    if (count < current_.bytes) {
      current_ = {stop, current_.out + count, current_.bytes - count};
      break;
    }
    has_current_ = runs_.Next(current_);
  }
  position_ = end;
}

}  // namespace ckpt
