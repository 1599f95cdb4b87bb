#pragma once

#include <functional>
#include <string>

#include "format/pickle/value.h"

namespace ckpt::pickle {

/// The most containers and leaves that are visited: lists may share their parts 2^60 times.
inline constexpr uint64_t kMostNodes = 16'000'000;

/// Calls `visit` for each tensor under `root` with its name: dict keys joined with '.', list items
/// by index. No recursion. `byte`: of the pickle's beginning, for messages. Errors: kBadInput for a
/// container inside itself, more than kMostNodes; those of `visit`. For pickle/ only.
Result<void> ForEachTensor(
    const Arena& arena, const Value& root, uint64_t byte,
    const std::function<Result<void>(const std::string& name, const TensorValue& tensor)>& visit);

}  // namespace ckpt::pickle
