#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "store/http/exchange.h"
#include "store/http/retry.h"

namespace ckpt::http {

/// The errors of the engine: what happened, the address without its query, the tries made, and
/// what helps.

/// Which `Counts::retries` a broken try belongs to; empty for endings that no further try mends.
std::string RetryKey(Ending::Kind kind);

Error NoAnswer(const Ending& ending, const Url& url, unsigned tries);
/// `asked` is how long the service wants us to stay away.
Error BadStatus(int status, const Url& url, unsigned tries, std::optional<milliseconds> asked);
/// An answer that is not what was asked for.
Error WrongAnswer(std::string what, const Url& url);
Error Stopped(const Url& url);

}  // namespace ckpt::http
