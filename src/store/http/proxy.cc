#include "store/http/proxy.h"

#include <algorithm>

#include "base/text.h"
#include "store/http/address.h"

namespace ckpt::http {
namespace {

std::string FirstOf(const Environment& environment, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const auto value = environment(name); value && !value->empty()) return *value;
  }
  return {};
}

}  // namespace

Proxies Proxies::Read(const Environment& environment) {
  Proxies proxies;
  proxies.http_ = Secret(FirstOf(environment, {"http_proxy", "all_proxy", "ALL_PROXY"}));
  proxies.https_ =
      Secret(FirstOf(environment, {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}));
  proxies.none_ = FirstOf(environment, {"no_proxy", "NO_PROXY"});
  std::ranges::replace(proxies.none_, ' ', ',');
  return proxies;
}

Secret Proxies::For(const Url& url) const {
  const Secret& proxy = url.scheme() == "https" ? https_ : http_;
  if (proxy.empty() || url.IsLoopback() || IsMetadataHost(url.host()) || IsExcepted(url.host()))
    return {};
  return proxy;
}

bool Proxies::IsExcepted(const std::string& host) const {
  const std::vector<std::string> entries = Split(none_, ',');
  return std::ranges::any_of(entries, [&](const std::string& text) {
    std::string entry = Lower(Trimmed(text));
    if (entry == "*") return true;
    if (entry.starts_with('.')) entry.erase(0, 1);
    if (entry.starts_with('[') && entry.ends_with(']')) entry = entry.substr(1, entry.size() - 2);
    if (entry.empty()) return false;
    return host == entry || (!IsAddress(host) && host.ends_with("." + entry)) ||
           IsInNetwork(host, entry);
  });
}

}  // namespace ckpt::http
