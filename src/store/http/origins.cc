#include "store/http/origins.h"

#include <fmt/format.h>

#include "store/http/address.h"

namespace ckpt::http {
namespace {

tl::unexpected<Error> FailRedirect(const Url& from, const std::string& reason) {
  Error error{Code::kUnavailable,
              "refused to follow a redirect " + reason,
              {},
              {{"address", from.Print()}},
              "check that the address is the service you mean; if the service is your own, give "
              "its address as an endpoint"};
  return Fail(std::move(error));
}

}  // namespace

Result<Origins> Origins::Trust(const std::vector<std::string>& trusted) {
  Origins origins;
  for (const std::string& text : trusted) {
    CKPT_TRY(const Url url, Url::Parse(text));
    origins.trusted_.insert(url.Origin());
  }
  return origins;
}

bool Origins::IsPrivate(const Url& url) {
  const std::string& host = url.host();
  return url.IsLoopback() || host.ends_with(".localhost") || IsMetadataHost(host) ||
         (IsAddress(host) && !IsPublicAddress(host));
}

Result<void> Origins::CheckFirst(const Url& url) const {
  if (url.scheme() == "https" || url.IsLoopback() || IsMetadataHost(url.host()) || IsTrusted(url))
    return {};
  Error error{Code::kUsage,
              "refused to speak to a service without TLS",
              {},
              {{"address", url.Print()}},
              "use its https:// address, or give it as an endpoint of your own"};
  return Fail(std::move(error));
}

Result<Url> Origins::Follow(const Url& from, const std::string& location,
                            bool is_home_private) const {
  const Result<Url> target = from.Resolve(location);
  if (!target) return FailRedirect(from, "to what is no http address");
  if (from.scheme() == "https" && target->scheme() == "http")
    return FailRedirect(from, "from https to " + target->Print());
  if (IsTrusted(*target)) return *target;
  if (target->scheme() == "http" && !target->IsLoopback())
    return FailRedirect(from, "to a service without TLS, " + target->Print());
  if (IsPrivate(*target) && !is_home_private)
    return FailRedirect(from, "to a private address, " + target->Print());
  return *target;
}

}  // namespace ckpt::http
