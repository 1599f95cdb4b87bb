#pragma once

#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace ckpt {

/// Which modules a user wants to leave as they are: exact names ("lm_head"), or "re:" and a regular
/// expression that must match from a name's beginning, as compressed-tensors reads them.
class IgnoreList {
 public:
  /// Errors: kUsage for an expression that is none.
  static Result<IgnoreList> Parse(const std::vector<std::string>& entries);
  bool Has(const std::string& module);
  /// Entries that no module has met.
  std::vector<std::string> Unused() const;

 private:
  struct Entry {
    std::string text;
    std::optional<std::regex> expression;
    bool is_used = false;
  };
  std::vector<Entry> entries_;
};

}  // namespace ckpt
