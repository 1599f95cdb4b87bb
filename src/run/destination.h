#pragma once

#include <string>
#include <vector>

#include "plan/plan.h"
#include "store/store.h"

namespace ckpt {

/// Makes sure that the destination is ours to fill, before anything is written: empty, or holding
/// nothing but an own run that did not finish (which is cleared). Anything else is refused, unless
/// `is_overwriting`: then what a loader would take for a checkpoint goes first, then our old state
/// and the files that will be written; other files stay, and are named in the returned warnings.
/// Errors: kCannotCreate (73) naming what lies there and --overwrite.
Result<std::vector<std::string>> ClearDestination(Store& destination, const Plan& plan,
                                                  const Target& target, bool is_overwriting);

/// Refuses as ClearDestination would, but changes nothing.
Result<void> CheckDestination(Store& destination, const Target& target, bool is_overwriting);

/// Leaves our mark, so that a next run knows an unfinished one as ours.
Result<void> MarkDestination(Store& destination, const Plan& plan);

/// Removes everything that an unfinished run of ours left: parts, records, companions and the mark.
Result<void> RemoveOwnObjects(Store& destination, const Plan& plan);

}  // namespace ckpt
