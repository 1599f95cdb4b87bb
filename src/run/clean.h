#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "run/status.h"
#include "store/store.h"

namespace ckpt {

struct CleanOptions {
  /// Changes nothing, and says what would be removed.
  bool is_dry_run = false;
  /// Also removes what runs left that look as if they were at work.
  bool is_forced = false;
  /// State names of runs that somebody else is known to be at work on.
  std::set<std::string> held = {};
  /// State names of runs that nobody else can be at work on, but who says so.
  std::set<std::string> locked = {};
  /// Of the machine, since 1970: for stores that tell no times, and for dry runs.
  int64_t now_ns = 0;
  /// Whether a loader looks for such an object below an output of this target; such go first.
  std::function<bool(std::string_view target, std::string_view object)> is_marker =
      [](std::string_view, std::string_view) { return false; };
  /// Asked between objects: whether to end with kInterrupted.
  std::function<bool()> is_stopping = [] { return false; };
};

/// What became of one run's leftovers.
struct CleanedRun {
  RunStatus status;                       ///< as it was found
  bool is_at_work = false;                ///< or looks as if it were
  bool is_skipped = false;                ///< therefore left alone
  std::vector<std::string> objects = {};  ///< removed (to be removed)
  uint64_t bytes = 0;                     ///< of those
  size_t uploads = 0;  ///< unfinished ones that were ended; a dry run knows of one at most
  /// Folders of its uncommitted outputs that hold something, and are not named as its own.
  std::vector<std::string> others = {};
};
struct Cleaned {
  std::vector<CleanedRun> runs;  ///< by state name
  std::vector<std::string> strays =
      {};  ///< removed as well: of runs killed before they left a mark
  uint64_t stray_bytes = 0;
  bool is_skipping = false;  ///< runs at work were left alone
};

/// Removes what abandoned runs left in a destination: unfinished files and uploads, the objects of
/// unfinished outputs, and the state. Only what a mark of ours names, and never an object of an
/// output that is committed, nor what runs claim that are left alone. Of a run whose outputs are
/// all committed only the leftovers go; where some are, its mark is narrowed to those, and its
/// report stays. What a loader looks for goes first and the mark last, so that what is left is
/// never taken for a checkpoint and an interrupted call can be repeated. Errors: kNotFound where
/// nothing of ours lies; kBadInput for the state of another version; those of the store.
Result<Cleaned> CleanDestination(Store& store, const CleanOptions& options);

}  // namespace ckpt
