#pragma once

#include <string>
#include <vector>

#include "plan/plan.h"
#include "store/store.h"

namespace ckpt {

/// What a run finds in its destination once that is its own.
struct Cleared {
  bool is_resuming = false;  ///< an earlier run of the same digest began there
  std::vector<std::string> warnings;
};

/// Makes sure that the destination is ours to fill, before anything is written: empty, or holding
/// nothing but what this very run has begun (which stays). Anything else is refused, unless
/// `is_overwriting`: then what a loader would take for a checkpoint goes first, then our old state
/// and the files that will be written; other files stay, and are named in the warnings. Errors:
/// kCannotCreate (73) naming what lies there and --overwrite.
Result<Cleared> ClearDestination(Store& destination, const Plan& plan, const Target& target,
                                 bool is_overwriting);

/// Refuses as ClearDestination would, but changes nothing.
Result<void> CheckDestination(Store& destination, const Plan& plan, const Target& target,
                              bool is_overwriting);

/// Leaves our mark, so that a next run knows an unfinished one as ours.
Result<void> MarkDestination(Store& destination, const Plan& plan);

/// Whether this very run is finished there: its report, and its files under their names.
Result<bool> IsCommitted(Store& destination, const Plan& plan);

/// Once this very run is committed: removes what only a run at work needs, as one that was killed
/// right after the commit, or came after another's, leaves it.
Result<void> TidyUp(Store& destination, const Plan& plan);

/// Removes everything that an unfinished run of ours left: parts, records, companions and the mark.
Result<void> RemoveOwnObjects(Store& destination, const Plan& plan);

}  // namespace ckpt
