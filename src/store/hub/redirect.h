#pragma once

#include <optional>

#include "base/result.h"
#include "store/http/http.h"

namespace ckpt {

/// Where a redirect that was not followed leads: the Location of `answer` to a request of `asked`.
/// Nothing where it is no redirect. kUnavailable for an address that the engine would not follow
/// either (without TLS, or private while `asked` is not).
Result<std::optional<http::Url>> RedirectTarget(const http::Engine& engine, const http::Url& asked,
                                                const http::Response& answer);

}  // namespace ckpt
