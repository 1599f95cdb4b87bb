#include "format/orbax/python_text.h"

#include <fmt/format.h>

#include <cstdint>

#include "format/json/json.h"

namespace ckpt::python {
namespace {

constexpr uint32_t kFirstPrintable = 0x20;
constexpr uint32_t kDelete = 0x7f;
constexpr uint32_t kFirstPrintableLatin = 0xa1;  // after the C1 controls and the no-break space
constexpr uint32_t kSoftHyphen = 0xad;
constexpr uint32_t kFirstSupplementary = 0x10000;

// The next code point of valid UTF-8, taken from the front.
uint32_t TakeCodePoint(std::string_view& text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  size_t length = 1;
  uint32_t code = lead;
  if (lead >= 0xf0) {
    length = 4;
    code = lead & 0x07U;
  } else if (lead >= 0xe0) {
    length = 3;
    code = lead & 0x0fU;
  } else if (lead >= 0xc0) {
    length = 2;
    code = lead & 0x1fU;
  }
  for (size_t i = 1; i < length && i < text.size(); ++i)
    code = code << 6U | (static_cast<unsigned char>(text[i]) & 0x3fU);
  text.remove_prefix(std::min(length, text.size()));
  return code;
}

std::string Repr(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const bool has_double = text.find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string repr(1, quote);
  while (!text.empty()) {
    const std::string_view before = text;
    const uint32_t code = TakeCodePoint(text);
    if (code == static_cast<unsigned char>(quote) || code == '\\')
      repr += fmt::format("\\{}", static_cast<char>(code));
    else if (code == '\t')
      repr += "\\t";
    else if (code == '\n')
      repr += "\\n";
    else if (code == '\r')
      repr += "\\r";
    else if (code < kFirstPrintable || (code >= kDelete && code < kFirstPrintableLatin) ||
             code == kSoftHyphen)
      repr += fmt::format("\\x{:02x}", code);
    else
      repr += before.substr(0, before.size() - text.size());
  }
  repr += quote;
  return repr;
}

void AppendUnicodeEscape(std::string& json, uint32_t code) {
  if (code < kFirstSupplementary) {
    json += fmt::format("\\u{:04x}", code);
    return;
  }
  const uint32_t rest = code - kFirstSupplementary;  // as a surrogate pair
  json += fmt::format("\\u{:04x}\\u{:04x}", 0xd800U + (rest >> 10U), 0xdc00U + (rest & 0x3ffU));
}

}  // namespace

std::string TupleRepr(std::span<const OrbaxKey> path) {
  std::string repr = "(";
  for (size_t i = 0; i < path.size(); ++i) {
    if (i > 0) repr += ", ";
    repr += Repr(path[i].name);
  }
  return repr + (path.size() == 1 ? ",)" : ")");
}

void AppendJsonString(std::string& json, std::string_view text) {
  json += '"';
  while (!text.empty()) {
    const uint32_t code = TakeCodePoint(text);
    if (const std::string_view escape = json::ShortEscape(code); !escape.empty())
      json += escape;
    else if (code < kFirstPrintable || code >= kDelete)
      AppendUnicodeEscape(json, code);
    else
      json += static_cast<char>(code);
  }
  json += '"';
}

}  // namespace ckpt::python
