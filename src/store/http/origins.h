#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/http/url.h"

namespace ckpt::http {

/// Which origins may be spoken to, and where a redirect may lead. Pure: what a name resolves to is
/// checked at the connection (exchange.h).
class Origins {
 public:
  Origins() = default;
  /// kUsage for one that is no address.
  static Result<Origins> Trust(const std::vector<std::string>& trusted);

  bool IsTrusted(const Url& url) const { return trusted_.contains(url.Origin()); }
  /// A loopback, private or metadata host, as far as its name tells.
  static bool IsPrivate(const Url& url);

  /// Without TLS only loopback, metadata services and trusted origins are spoken to: kUsage.
  Result<void> CheckFirst(const Url& url) const;
  /// The address that an answer of `from` sends us to. kUnavailable if it is none, if it drops TLS,
  /// or if it is a private host while the request's own (`is_home_private`) is not.
  Result<Url> Follow(const Url& from, const std::string& location, bool is_home_private) const;

 private:
  std::set<std::string> trusted_;
};

}  // namespace ckpt::http
