#pragma once

#include <string>
#include <vector>

#include "plan/chunked_plan.h"
#include "store/store.h"

namespace ckpt {

/// By output: the folder in which its objects are written. Where folders can be renamed, beside the
/// output's root under a temporary name; else its final place.
std::vector<std::string> WorkFolders(const ChunkedPlan& plan, const ChunkedTarget& target,
                                     const Store& destination);

/// Makes sure that every output's own path and the state folder are ours to fill: empty, or holding
/// nothing but what this very run has begun (which stays). Anything else is refused, unless
/// `is_overwriting`: then a replaced checkpoint stops being one first, and is removed. A folder
/// that holds no checkpoint is never removed. Returns whether an earlier run of the same digest
/// began there. Errors: kCannotCreate (73) naming what lies there and --overwrite.
Result<bool> ClearDestination(Store& destination, const ChunkedPlan& plan,
                              const ChunkedTarget& target, bool is_overwriting);
/// Refuses as ClearDestination would, but changes nothing.
Result<void> CheckDestination(Store& destination, const ChunkedPlan& plan,
                              const ChunkedTarget& target, bool is_overwriting);

/// By output: whether it is committed, under its name, whole.
Result<std::vector<bool>> CommittedOutputs(Store& destination, const ChunkedPlan& plan,
                                           const ChunkedTarget& target);
/// Whether this very run is finished there: its report, and every output under its name.
Result<bool> IsCommitted(Store& destination, const ChunkedPlan& plan, const ChunkedTarget& target);

/// Once this very run is committed: removes what only a run at work needs, as one that was killed
/// right after the commit, or came after another's, leaves it.
Result<void> TidyUp(Store& destination, const ChunkedPlan& plan, const ChunkedTarget& target);

/// Leaves our mark, so that a next run knows an unfinished one as ours.
Result<void> MarkDestination(Store& destination, const ChunkedPlan& plan,
                             const ChunkedTarget& target, const std::vector<std::string>& folders);

/// Removes everything that an unfinished run of ours left.
Result<void> RemoveOwnObjects(Store& destination, const ChunkedPlan& plan,
                              const std::vector<std::string>& folders);

}  // namespace ckpt
