#include "cli/yaml.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/json_text.h"
#include "base/text.h"

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

// What YAML 1.1 reads as a boolean or as nothing, in any case.
constexpr std::array<std::string_view, 9> kReserved = {"y",   "n",    "yes",   "no",  "on",
                                                       "off", "true", "false", "null"};

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// A word that begins with a letter is no number, and none of these characters means anything.
bool IsBare(std::string_view text) {
  if (text.empty() || !IsLetter(text.front())) return false;
  const bool is_word = std::all_of(text.begin(), text.end(), [](char c) {
    return IsLetter(c) || IsDigit(c) || c == '.' || c == '/' || c == '-' || c == '_';
  });
  const std::string lower = Lower(text);
  return is_word && std::find(kReserved.begin(), kReserved.end(), lower) == kReserved.end();
}

// Control characters, line breaks beyond ASCII and what is no character: readers refuse or fold
// them.
bool NeedsEscape(uint32_t point) {
  return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029 ||
         point == 0xFEFF || point == 0xFFFE || point == 0xFFFF;
}

// The code point at the head of valid UTF-8, and its bytes.
std::pair<uint32_t, size_t> FirstPoint(std::string_view text) {
  const auto byte = [&](size_t at) {
    return static_cast<uint32_t>(static_cast<uint8_t>(text[at]));
  };
  const uint32_t head = byte(0);
  if (head < 0x80) return {head, 1};
  const size_t size = head < 0xE0 ? 2 : head < 0xF0 ? 3 : 4;
  uint32_t point = head & (0xFFU >> (size + 1));
  for (size_t at = 1; at < size; ++at) point = (point << 6U) | (byte(at) & 0x3FU);
  return {point, size};
}

// What NeedsEscape as \xNN or \uNNNN, and a backslash before each of `marked`.
std::string Escaped(std::string_view text, std::string_view marked) {
  std::string escaped;
  while (!text.empty()) {
    const auto [point, size] = FirstPoint(text);
    if (NeedsEscape(point)) {
      escaped += point < 0x100 ? fmt::format("\\x{:02x}", point) : fmt::format("\\u{:04x}", point);
    } else {
      if (marked.find(text.front()) != std::string_view::npos) escaped += '\\';
      escaped += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  return escaped;
}

std::string Scalar(const Json& value) {
  return value.is_string() ? YamlString(value.get_ref<const std::string&>()) : PrintJsonLine(value);
}

void Append(std::string& text, const Json& value, size_t indent);

// What follows "key:" or "-": the scalar on the same line, or the lines of a structure.
void AppendMember(std::string& text, const Json& value, size_t indent) {
  if (value.is_structured() && !value.empty()) {
    text += '\n';
    Append(text, value, indent);
  } else {
    text += ' ' + Scalar(value) + '\n';
  }
}

void Append(std::string& text, const Json& value, size_t indent) {
  const std::string margin(indent, ' ');
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) {
      text += margin + YamlString(key) + ':';
      // Items of a list stand below the first letter of its key, as kubectl prints them.
      AppendMember(text, member, member.is_array() ? indent : indent + 2);
    }
    return;
  }
  for (const Json& item : value) {
    if (!item.is_object() || item.empty()) {
      text += margin + '-';
      AppendMember(text, item, indent + 2);
      continue;
    }
    std::string lines;  // the first one begins behind the dash
    Append(lines, item, indent + 2);
    text += margin + "- " + lines.substr(indent + 2);
  }
}

}  // namespace

std::string YamlString(std::string_view text) {
  CKPT_CHECK(FirstInvalidUtf8(text) == std::string_view::npos);
  return IsBare(text) ? std::string(text) : '"' + Escaped(text, "\"\\") + '"';
}

std::string YamlComment(std::string_view text) {
  return "# " + Escaped(Printable(text), "") + '\n';
}

std::string PrintYaml(const Json& value) {
  CKPT_CHECK(value.is_structured() && !value.empty());
  std::string text;
  Append(text, value, 0);
  return text;
}

}  // namespace ckpt
