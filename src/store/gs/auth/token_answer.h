#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "store/gs/auth/token_source.h"

namespace ckpt::gs {

/// "a=1&b=x%20y".
std::string PrintForm(const std::vector<std::pair<std::string, std::string>>& fields);

/// POSTs a form to a token endpoint (RFC 6749). The body of a 200; else kDenied with the service's
/// `error` and `error_description`, and a remedy by what it says.
Result<std::string> PostForm(http::Engine& engine, const http::Url& url, const std::string& form);

/// Of {"access_token", "expires_in"}. kUnavailable for anything else; the message shows no body.
Result<Token> ParseTokenAnswer(std::string_view json, std::chrono::system_clock::time_point now);

/// The error that a refused exchange means.
Error ExplainOAuth(int status, std::string_view body);

}  // namespace ckpt::gs
