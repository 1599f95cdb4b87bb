#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "run/mark.h"
#include "run/report_state.h"
#include "run/shard_log.h"
#include "store/store.h"

namespace ckpt {

/// A process that says it runs, and has said nothing for longer than this, is taken for dead.
inline constexpr int64_t kSilentAfterNs = 120'000'000'000;

/// Bundles first ... last.
struct NumberRange {
  uint32_t first = 0;
  uint32_t last = 0;
  bool operator==(const NumberRange&) const = default;
};

/// What a shard last said, and how that looks now.
struct ShardStatus {
  ShardNote note;
  double age_s = 0;               ///< since it was said
  bool is_silent = false;         ///< "running", and older than kSilentAfterNs
  double bundles_per_second = 0;  ///< of its run, up to then
  double bytes_per_second = 0;    ///< written
  bool is_running() const { return note.state == ShardNote::State::kRunning && !is_silent; }
};

/// How far a run is, by what its state folder says.
struct RunStatus {
  enum class State : uint8_t {
    kRunning,  ///< a process is at work
    kWaiting,  ///< every process that began is done; bundles of others, or the commit, are missing
    kStopped,  ///< stopped or killed; the same command goes on
    kFailed,   ///< as kStopped, once what it failed of is mended
    kCommitted,  ///< every output stands under its name
  };
  std::string state_name;  ///< of its folder below kStateFolder, or ""
  State state = State::kStopped;
  Mark mark;
  ReportState report;
  std::string error;                   ///< of a failed run
  std::vector<std::string> committed;  ///< those of mark.done that are there
  uint64_t bundles = 0;                ///< of the plan; the commit is none
  uint64_t bundles_done = 0;           ///< recorded
  std::vector<NumberRange> missing;    ///< the others, ascending
  std::vector<ShardStatus> shards;     ///< by index, then count
  std::vector<NumberRange> not_begun;  ///< shards that never said anything
  std::optional<double> eta_s;         ///< to the last bundle, at the pace of those at work

  /// Whether a process says that it is at work, or may be about to say so: the run began moments
  /// ago.
  bool is_at_work() const;
};
std::string_view Name(RunStatus::State state);

/// All runs that left a mark in a destination, by state name. Reads only. `now_ns`: by a clock near
/// the store's, since 1970; where objects of the state folder are newer than that, the newest is
/// now.
Result<std::vector<RunStatus>> ReadStatus(Store& store, int64_t now_ns);

}  // namespace ckpt
