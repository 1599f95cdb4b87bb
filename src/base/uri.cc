#include "base/uri.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace ckpt {

Result<Uri> Uri::Parse(std::string_view text) {
  if (text.empty()) return Fail(Code::kUsage, "an empty path", "name a folder, a file or a URI");
  if (text.find('\0') != std::string_view::npos)
    return Fail(Code::kUsage, "a path with a NUL byte", "name a folder, a file or a URI");
  Uri uri;
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos) {
    uri.path_ = std::string(text);
    if (text == "null:") {
      uri.scheme_ = "null";
      uri.path_.clear();
    }
    return uri;
  }
  const std::string_view scheme = text.substr(0, colon);
  const bool is_word =
      !scheme.empty() && std::all_of(scheme.begin(), scheme.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '+' || c == '-' || c == '.';
      });
  if (!is_word)
    return Fail(Code::kUsage, fmt::format("\"{}\" is no URI scheme", scheme),
                "name a folder, a file or a URI");
  uri.scheme_ = std::string(scheme);
  std::string_view rest = text.substr(colon + 3);
  if (const size_t mark = rest.find_first_of("?#");
      mark != std::string_view::npos && uri.scheme_ != "file") {
    uri.query_ = std::string(rest.substr(mark));
    rest = rest.substr(0, mark);
  }
  if (uri.scheme_ == "file") {
    uri.path_ = std::string(rest);
    if (uri.path_.empty())
      return Fail(Code::kUsage, "file:// without a path", "name a folder or a file");
    return uri;
  }
  const size_t slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos)
    authority = authority.substr(at + 1);
  uri.authority_ = std::string(authority);
  if (slash != std::string_view::npos) uri.path_ = std::string(rest.substr(slash + 1));
  return uri;
}

std::string Uri::Print() const { return PrintBelow({}); }

std::string Uri::PrintBelow(std::string_view name) const {
  std::string text;
  if (scheme_ == "file") {
    text = path_;
  } else if (scheme_ == "null") {
    text = "null:";
  } else {
    text = scheme_ + "://" + authority_;
    if (!path_.empty()) text += "/" + path_;
  }
  if (!name.empty() && !text.empty() && text.back() != '/') text += '/';
  text += name;
  if (!query_.empty()) text += "?[redacted]";
  return text;
}

}  // namespace ckpt
