#pragma once

#include <string>

#include "base/error.h"
#include "store/http/http.h"

namespace ckpt {

/// The meaning of a web server's answer that is no success. Pure. Codes: kDenied (401, 403),
/// kNotFound (404, 410), kBadInput (412: another version now; 416), kTemporary (429), kUnavailable
/// (408, 5xx), else kIo.
Error ExplainWeb(const http::Url& url, int status);

/// A server that sends only whole files.
Error NoRanges(const http::Url& url);

}  // namespace ckpt
