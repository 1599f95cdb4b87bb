#pragma once

#include <string>

#include "base/environment.h"
#include "base/secret.h"
#include "store/http/url.h"

namespace ckpt::http {

/// The proxies that the usual variables name. We choose the proxy, not libcurl: only then is it
/// known whether the address of a connection is the service's (and has to be checked) or a
/// proxy's.
class Proxies {
 public:
  Proxies() = default;
  /// http_proxy (lower case only: HTTP_PROXY is what a CGI client can set), https_proxy, all_proxy,
  /// no_proxy, and the latter three in upper case.
  static Proxies Read(const Environment& environment);

  /// The proxy to ask for `url` (it may hold a password); empty: none. Never one for loopback and
  /// metadata services.
  Secret For(const Url& url) const;

 private:
  bool IsExcepted(const std::string& host) const;

  Secret http_;
  Secret https_;
  std::string none_;
};

}  // namespace ckpt::http
