#pragma once

#include "cli/arguments.h"

namespace ckpt {

/// `convert` and `plan` for a target of chunked arrays.
Result<void> RunChunkedConvert(const Arguments& arguments, const Settings& settings);
Result<void> RunChunkedPlan(const Arguments& arguments, const Settings& settings);

/// Whether two stores are one folder, however spelled.
bool IsSameFolder(const Store& a, const Store& b);

}  // namespace ckpt
