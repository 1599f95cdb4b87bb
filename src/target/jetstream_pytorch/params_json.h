#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ckpt {

/// The JSON text as Python's json.dumps would write it again, which is what the original converter
/// leaves in params.json:
/// ", " and ": " between things, one line, keys in their order, non-ASCII as \uXXXX, no newline at
/// the end.
Result<std::string> DumpLikePython(std::string_view json);

}  // namespace ckpt
