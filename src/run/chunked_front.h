#pragma once

#include "run/chunked_context.h"

namespace ckpt {

/// Writes each output's last data file: the scales that bundles left in their records, then
/// constants; and records it as bundle 0. Call when all bundles are recorded.
Result<void> WriteFronts(const ChunkedContext& context);

}  // namespace ckpt
