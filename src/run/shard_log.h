#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "run/progress.h"
#include "store/store.h"

namespace ckpt {

/// Which part of a plan's bundles one process takes.
struct Shard {
  unsigned index = 0;
  unsigned count = 1;
  bool is_whole() const { return count == 1; }
};

inline constexpr std::string_view kShardsFolder = "shards";

/// What a shard's run last said of itself (docs/formats/journal.md).
struct ShardNote {
  enum class State { kRunning, kStopped, kFailed, kDone };
  Shard part;
  State state = State::kRunning;
  std::string error;  ///< what and where, of a failed run
  uint64_t bundles_done = 0;
  uint64_t bundles_total = 0;
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  std::vector<uint32_t> open;    ///< begun and not recorded when it was said
  uint64_t most_open_bytes = 0;  ///< that bundles begun and not recorded may read, at any time
  std::string started;           ///< RFC 3339, by the clock of that machine
  std::string updated;
  int64_t updated_ns = 0;  ///< by the store's clock
};
std::string_view Name(ShardNote::State state);

/// All notes of a state folder, by name. What is no note is left out.
Result<std::vector<ShardNote>> ReadShardNotes(Store& store, std::string_view state_name);

/// Thread-safe. Tells others, through the state folder, how far this process is. Best effort: a
/// note that cannot be written stops no run, and correctness never rests on one.
class ShardLog {
 public:
  ShardLog(Store& store, std::string_view state_name, Shard part);
  ShardLog(const ShardLog&) = delete;
  ShardLog& operator=(const ShardLog&) = delete;

  /// The work of this run: `total` bundles; those that are open at one time read `most_open_bytes`
  /// at most. `progress` is read with every note until End().
  void Start(uint64_t total, uint64_t most_open_bytes, const Progress& progress);
  void Begin(uint32_t bundle);
  void Done(uint32_t bundle);
  /// Work goes on: said where nothing else was said for kQuietest. Called with every tile.
  void Pulse();
  static constexpr auto kQuietest = std::chrono::seconds(30);
  /// The last word; `error` of a failed run.
  void End(ShardNote::State state, std::string_view error = {});

 private:
  void Write(bool is_last);
  Store& store_;
  const std::string name_;
  std::mutex mutex_;
  ShardNote note_;
  const Progress* progress_ = nullptr;
  std::set<uint32_t> open_;
  bool is_writing_ = false;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace ckpt
