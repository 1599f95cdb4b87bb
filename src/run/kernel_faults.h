#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"

namespace ckpt {

/// `tensors`: those whose types no kernel reads, by type. Success where there are none; else
/// kBadInput naming all types, and the first tensor of each.
Result<void> RefuseUnreadable(const std::map<DType, std::vector<std::string>>& tensors);

}  // namespace ckpt
