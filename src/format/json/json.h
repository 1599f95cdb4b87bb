#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ckpt::json {

/// Containers within containers; deeper texts are refused.
inline constexpr uint32_t kMaxDepth = 128;

enum class Kind : uint8_t {
  kBeginObject,
  kEndObject,
  kBeginArray,
  kEndArray,
  kKey,
  kString,
  kUnsigned,  ///< an integer in [0, 2^64), written without sign, point and exponent
  kNegative,  ///< an integer in [-2^63, 0), or "-0"
  kFloat,     ///< every other number
  kBool,
  kNull,
};

/// One step through the text. `text` lives only during the call.
struct Token {
  Kind kind = Kind::kNull;
  uint32_t depth = 0;          ///< containers around it; both ends of a container have the same
  std::string_view text = {};  ///< of a key or string, unescaped
  uint64_t unsigned_value = 0;
  int64_t negative_value = 0;
  double float_value = 0;
  bool is_true = false;
};

using Visit = std::function<Result<void>(const Token&)>;

/// Walks over one JSON value. Stricter than the library below it, because the readers that our
/// files must agree with are: no byte-order mark, no NUL anywhere (the library takes one for the
/// end), nothing after the value but whitespace, UTF-8 throughout. Duplicate keys are the visitor's
/// business. Memory: O(longest string + depth), never the tree. Errors: kBadInput with the byte,
/// counted from `first_byte` (where the text begins in its file); for what the visitor refuses, its
/// error with the byte where the offending token ends.
Result<void> Read(std::string_view text, uint64_t first_byte, const Visit& visit);

/// The escape of two characters that JSON has for this one ("\\n"), or "".
std::string_view ShortEscape(uint32_t code_point);

/// Appends `text` (UTF-8) in quotes, escaped as serde_json and Python's json (without ensure_ascii)
/// do: short escapes for the quote, the backslash and \b \t \n \f \r, \u00xx for other controls,
/// all else as it is.
void AppendString(std::string& json, std::string_view text);

}  // namespace ckpt::json
