#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "store/http/http.h"

namespace ckpt {

/// The next page of a listing: the address of a `Link` header with rel="next" (RFC 8288), which may
/// be relative to `page`. Nothing on the last page. kBadInput for an address of another origin: the
/// token would go with it.
Result<std::optional<http::Url>> NextPage(const http::Url& page, const http::Headers& headers);

}  // namespace ckpt
