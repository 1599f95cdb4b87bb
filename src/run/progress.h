#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace ckpt {

/// Thread-safe. What a run has done so far, for whoever shows it.
struct Progress {
  std::atomic<uint64_t> read_bytes{0};
  std::atomic<uint64_t> written_bytes{0};
  std::atomic<uint64_t> bundles_done{0};
  /// Of the plan's totals, what is not this process's: done before, or of other shards; and what
  /// was planned to be read and was not needed.
  std::atomic<uint64_t> skipped_read_bytes{0};
  std::atomic<uint64_t> skipped_written_bytes{0};

  /// A read of `asked` bytes, for which the plan has `planned`.
  void AddRead(uint64_t asked, uint64_t planned) {
    read_bytes += asked;
    skipped_read_bytes += planned - std::min(planned, asked);
  }
};

}  // namespace ckpt
