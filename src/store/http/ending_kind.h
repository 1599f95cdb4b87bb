#pragma once

#include <string_view>

#include "store/http/exchange.h"

namespace ckpt::http {

/// What a CURLcode means for a try whose request had been sent, or not yet.
/// `words` are libcurl's.
Ending::Kind EndingKind(int curl_code, bool was_sent, std::string_view words);

}  // namespace ckpt::http
