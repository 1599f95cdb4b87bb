#pragma once

#include <functional>
#include <optional>
#include <string>

namespace ckpt {

/// The process's environment, or a test's: the value of a variable, absent where it is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;

}  // namespace ckpt
