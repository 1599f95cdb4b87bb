#pragma once

#include <array>
#include <string>

#include "run/role_diff.h"

namespace ckpt {

/// How a side is called in what is shown.
struct DiffName {
  std::string place;    ///< "models/llama", safe to print
  std::string reading;  ///< whose configuration was taken, where it is not its own: "that of A"
};

/// Of pairs that are all equal: true. What `ckpt diff` answers with its exit status.
bool IsAllEqual(const DiffPlan& plan, const DiffResult& result);

/// What was found, for people: both sides, the roles that differ (at most some dozens) or with
/// `is_all` every role, and a line that counts.
std::string DiffText(const DiffPlan& plan, const DiffResult& result,
                     const std::array<DiffName, 2>& names, bool is_all);
/// The same as one JSON object, with every role that differs.
std::string DiffJson(const DiffPlan& plan, const DiffResult& result,
                     const std::array<DiffName, 2>& names, bool is_all);

}  // namespace ckpt
