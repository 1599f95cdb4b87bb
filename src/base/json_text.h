#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace ckpt {

// The library's parser and printer cost seconds in each file that uses them, so they are made here
// once. For our own files and users' credentials; a checkpoint's JSON goes through format/json,
// which holds it to limits.

/// `is_discarded()` where the text is no JSON.
nlohmann::json ParseJson(std::string_view text);
/// The same with keys in the text's order; finding one takes as long as there are keys.
nlohmann::ordered_json ParseOrderedJson(std::string_view text);

/// With lines and indents, or all in one line. Invalid UTF-8 becomes U+FFFD.
std::string PrintJson(const nlohmann::ordered_json& json);
std::string PrintJsonLine(const nlohmann::ordered_json& json);

}  // namespace ckpt
