#include "store/hub/redirect.h"

#include <utility>

#include "store/http/origins.h"

namespace ckpt {

Result<std::optional<http::Url>> RedirectTarget(const http::Engine& engine, const http::Url& asked,
                                                const http::Response& answer) {
  const int status = answer.status;
  const bool is_redirect =
      status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
  const std::string* location = http::FindHeader(answer.headers, "Location");
  if (!is_redirect || location == nullptr) return std::optional<http::Url>();
  CKPT_TRY(const http::Origins origins, http::Origins::Trust(engine.options().trusted_origins));
  CKPT_TRY(http::Url target, origins.Follow(asked, *location, http::Origins::IsPrivate(asked)));
  return std::optional(std::move(target));
}

}  // namespace ckpt
