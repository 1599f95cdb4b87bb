#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace ckpt {

/// What in `folder` is not as its report says, the first of it: kBadInput.
tl::unexpected<Error> FailDifferences(std::string folder, std::vector<std::string> differences);

}  // namespace ckpt
