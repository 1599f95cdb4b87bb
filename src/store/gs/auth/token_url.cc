#include <algorithm>

#include "store/gs/auth/token_source.h"

namespace ckpt::gs {
namespace {

bool IsConfigured(const TokenContext& context, const http::Url& url) {
  const auto& trusted = context.engine->options().trusted_origins;
  return std::find(trusted.begin(), trusted.end(), url.Origin()) != trusted.end();
}

tl::unexpected<Error> RefuseUrl(const std::string& what, const http::Url& url, const char* wanted) {
  return Fail(Code::kDenied, "\"" + what + "\" is " + url.Print() + ", which " + wanted,
              "use credentials from a source that you trust");
}

}  // namespace

Result<http::Url> ParseTokenUrl(const TokenContext& context, const std::string& what,
                                const std::string& text) {
  CKPT_TRY(http::Url url, http::Url::Parse(text).map_error(Where("field", what)));
  if (url.scheme() != "https" && !url.IsLoopback() && !IsConfigured(context, url))
    return RefuseUrl(what, url, "would take secrets without encryption");
  return url;
}

Result<http::Url> ParseGoogleUrl(const TokenContext& context, const std::string& what,
                                 const std::string& text) {
  CKPT_TRY(http::Url url, http::Url::Parse(text).map_error(Where("field", what)));
  if (IsConfigured(context, url)) return url;
  if (url.scheme() != "https" || !url.host().ends_with(".googleapis.com"))
    return RefuseUrl(what, url, "is no service of Google's (https, below googleapis.com)");
  return url;
}

}  // namespace ckpt::gs
