#pragma once

#include <string_view>

#include "base/error.h"
#include "store/http/url.h"

namespace ckpt {

/// The meaning of an answer of the link's server that is no success. Pure. CloudFront says 403 of
/// everything that it does not give, so that all reasons are named. Codes: kDenied (401, 403),
/// kNotFound (404), kBadInput (400, 416), kTemporary (429), kUnavailable (408, 5xx), else kIo.
Error ExplainMeta(const http::Url& url, int status);

}  // namespace ckpt
