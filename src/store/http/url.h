#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace ckpt::http {

/// An absolute http or https address. Its query may be a signature: it is secret, and nothing
/// prints it.
class Url {
 public:
  Url() = default;
  /// kUsage for another scheme, an empty host, user information, a bad port, spaces or control
  /// characters. The path and the query are taken as they are (already encoded), a fragment is
  /// dropped.
  static Result<Url> Parse(std::string_view text);

  const std::string& scheme() const { return scheme_; }
  const std::string& host() const { return host_; }  ///< lower case; IPv6 without brackets
  uint16_t port() const { return port_; }
  const std::string& path() const { return path_; }  ///< encoded, begins with '/'
  const Secret& query() const { return query_; }     ///< encoded, without '?'

  Url WithPath(std::string path) const;  ///< encoded, begins with '/'; no query
  Url WithQuery(std::string query) const;
  /// "https://host" or "https://host:port": what a credential is bound to.
  std::string Origin() const;
  /// For messages and logs: origin and path; "?[redacted]" stands for a query.
  std::string Print() const;
  /// All of it, to connect with.
  Secret Whole() const;
  /// A Location or Link header's address, which may be relative to this one (RFC 3986, 5.2).
  Result<Url> Resolve(std::string_view reference) const;
  /// 127.0.0.0/8, ::1 or "localhost": the only hosts beside configured endpoints that may be
  /// spoken to without TLS.
  bool IsLoopback() const;

 private:
  std::string scheme_;
  std::string host_;
  uint16_t port_ = 0;
  std::string path_ = "/";
  Secret query_;
};

/// Percent-encodes everything but RFC 3986's unreserved characters and those in `kept`
/// (such as "/" for paths).
std::string PercentEncode(std::string_view text, std::string_view kept = "");
/// kBadInput for a '%' without two hexadecimal digits.
Result<std::string> PercentDecode(std::string_view text);

}  // namespace ckpt::http
