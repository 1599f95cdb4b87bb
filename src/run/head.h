#pragma once

#include "run/lane.h"

namespace ckpt {

/// What only the committer can write of a file, when every bundle and the front are recorded: its
/// commit ranges (header, vectors, scales out of the records) and the ragged bytes between
/// segments. Adds the parts of their arrays to `records`. `journal`: null where side values went to
/// their place at once (then only the rest is written).
Result<void> WriteCommitRanges(const RunContext& context, PositionedWriter& writer, size_t file,
                               Lane& lane, const Journal* journal);

}  // namespace ckpt
