#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/faults.h"

namespace ckpt {

/// A TOML value as far as family tables use them, with the line where it stands.
struct TomlNode {
  enum class Kind : uint8_t { kOther, kBool, kInteger, kText, kList, kTable };
  Kind kind = Kind::kOther;  ///< kOther: floats and dates, which no key of a table takes
  uint32_t line = 0;
  bool flag = false;
  int64_t integer = 0;
  std::string text = {};
  std::vector<TomlNode> children = {};
  std::vector<std::string> keys =
      {};  ///< of a table, in the order of the file: keys[i] of children[i]

  /// nullptr where this is no table or lacks the key.
  const TomlNode* Find(std::string_view key) const;
};

/// The root table of a TOML 1.0 document. A syntax error is a fault, and the table empty.
TomlNode ParseToml(std::string_view text, const std::string& file, TableFaults& faults);

}  // namespace ckpt
