#include "store/http/url.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/text.h"

namespace ckpt::http {
namespace {

constexpr std::string_view kHttps = "https";
constexpr std::string_view kHttp = "http";

bool IsAlpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

uint16_t DefaultPort(std::string_view scheme) {
  return scheme == kHttps ? uint16_t{443} : uint16_t{80};
}

// What a message may show of a text that is no address: no query, no user information.
std::string Shown(std::string_view text) {
  text = text.substr(0, text.find_first_of("?#"));
  const size_t at = text.rfind('@');
  return at == std::string_view::npos ? Excerpt(text) : "...@" + Excerpt(text.substr(at + 1));
}

tl::unexpected<Error> FailAddress(std::string_view text, std::string_view reason) {
  return Fail(Code::kUsage, fmt::format("not an http address: {}: \"{}\"", reason, Shown(text)),
              "write it as https://host/path");
}

bool IsIpv6(const std::string& text) {
  in6_addr address{};
  return inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

bool IsHostName(std::string_view host) {
  return !host.empty() && host.size() <= 255 && std::ranges::all_of(host, [](char c) {
    return IsAlpha(c) || IsDigit(c) || c == '-' || c == '.' || c == '_';
  });
}

// The text that a scheme would have, or "" where it has none (RFC 3986, 3.1).
std::string_view SchemeOf(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || !IsAlpha(text[0])) return {};
  const std::string_view scheme = text.substr(0, colon);
  const bool is_scheme = std::ranges::all_of(
      scheme, [](char c) { return IsAlpha(c) || IsDigit(c) || c == '+' || c == '-' || c == '.'; });
  return is_scheme ? scheme : std::string_view{};
}

// RFC 3986, 5.2.4, for a path that begins with '/'.
std::string WithoutDotSegments(std::string_view path) {
  const std::vector<std::string> parts = Split(path.substr(1), '/');
  std::vector<std::string> kept;
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool is_last = i + 1 == parts.size();
    const bool is_up = parts[i] == "..";
    if (is_up && !kept.empty()) kept.pop_back();
    if (!is_up && parts[i] != ".") {
      kept.push_back(parts[i]);
    } else if (is_last) {
      kept.emplace_back();  // "a/.." names the folder: its '/' stays
    }
  }
  std::string result;
  for (const std::string& part : kept) result += "/" + part;
  return result.empty() ? "/" : result;
}

struct Authority {
  std::string host;
  uint16_t port = 0;
};

Result<Authority> ParseAuthority(std::string_view text, std::string_view authority,
                                 uint16_t default_port) {
  if (authority.find('@') != std::string_view::npos)
    return FailAddress(text, "it holds user information");
  Authority result{{}, default_port};
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return FailAddress(text, "an open bracket");
    result.host = Lower(authority.substr(1, end - 1));
    if (!IsIpv6(result.host)) return FailAddress(text, "no IPv6 address in the brackets");
    port = authority.substr(end + 1);
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    result.host = Lower(authority.substr(0, colon));
    if (result.host.empty()) return FailAddress(text, "it has no host");
    if (!IsHostName(result.host)) return FailAddress(text, "a bad host");
    port = authority.substr(colon);
  }
  if (port.empty() || port == ":") return result;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), number);
  if (port[0] != ':' || error != std::errc{} || end != port.data() + port.size() || number == 0 ||
      number > UINT16_MAX)
    return FailAddress(text, "a bad port");
  result.port = static_cast<uint16_t>(number);
  return result;
}

}  // namespace

Result<Url> Url::Parse(std::string_view text) {
  const bool has_bad_byte = std::ranges::any_of(text, [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) == 0x7f;
  });
  if (has_bad_byte) return FailAddress(text, "it holds spaces or control characters");
  Url url;
  url.scheme_ = Lower(SchemeOf(text));
  if (url.scheme_ != kHttps && url.scheme_ != kHttp)
    return FailAddress(text, "its scheme is neither https nor http");
  std::string_view rest = text.substr(url.scheme_.size() + 1);
  if (!rest.starts_with("//")) return FailAddress(text, "it has no host");
  rest.remove_prefix(2);
  rest = rest.substr(0, rest.find('#'));
  const size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
  CKPT_TRY(Authority authority,
           ParseAuthority(text, rest.substr(0, authority_end), DefaultPort(url.scheme_)));
  url.host_ = std::move(authority.host);
  url.port_ = authority.port;
  rest.remove_prefix(authority_end);
  const size_t path_end = std::min(rest.find('?'), rest.size());
  url.path_ = path_end == 0 ? "/" : std::string(rest.substr(0, path_end));
  if (path_end < rest.size()) url.query_ = Secret(std::string(rest.substr(path_end + 1)));
  return url;
}

Url Url::WithPath(std::string path) const {
  Url url = *this;
  url.path_ = std::move(path);
  url.query_ = Secret();
  return url;
}

Url Url::WithQuery(std::string query) const {
  Url url = *this;
  url.query_ = Secret(std::move(query));
  return url;
}

std::string Url::Origin() const {
  const bool is_ipv6 = host_.find(':') != std::string::npos;
  std::string origin = scheme_ + "://" + (is_ipv6 ? "[" + host_ + "]" : host_);
  if (port_ != DefaultPort(scheme_)) origin += fmt::format(":{}", port_);
  return origin;
}

std::string Url::Print() const {
  return Origin() + Printable(path_) + (query_.empty() ? "" : "?[redacted]");
}

Secret Url::Whole() const {
  return Secret(Origin() + path_ + (query_.empty() ? "" : "?" + query_.Reveal()));
}

Result<Url> Url::Resolve(std::string_view reference) const {
  reference = reference.substr(0, reference.find('#'));
  if (!SchemeOf(reference).empty()) return Parse(reference);
  if (reference.starts_with("//")) return Parse(scheme_ + ":" + std::string(reference));
  if (reference.empty()) return *this;
  if (reference.starts_with('?')) return Parse(Origin() + path_ + std::string(reference));
  const size_t path_end = std::min(reference.find('?'), reference.size());
  std::string path(reference.substr(0, path_end));
  if (!path.starts_with('/')) path = path_.substr(0, path_.rfind('/') + 1) + path;
  return Parse(Origin() + WithoutDotSegments(path) + std::string(reference.substr(path_end)));
}

bool Url::IsLoopback() const {
  if (host_ == "localhost" || host_ == "::1") return true;
  in_addr address{};
  return inet_pton(AF_INET, host_.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24U) == 127U;
}

}  // namespace ckpt::http
