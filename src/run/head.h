#pragma once

#include "run/lane.h"

namespace ckpt {

/// What only the committer can write, when every bundle and the front are recorded: the file's head
/// (header, vectors, scales out of the records) and the ragged bytes between segments. Adds the
/// parts of the head's arrays to `records`. `journal`: null where side values went to their place
/// at once (then the head holds only the rest).
Result<void> WriteHeadAndRagged(const RunContext& context, Lane& lane, const Journal* journal);

}  // namespace ckpt
