#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "store/http/http.h"

namespace ckpt::http {

using std::chrono::milliseconds;

/// When to try again, and when not: pure functions, time and chance are passed in.

/// 408, 429 and every 5xx.
bool IsRetriableStatus(int status);

/// Whether the service surely did not carry out a request that it answered so: 429, and 503 where
/// it says when to come back.
bool IsSurelyRefused(int status, const Headers& headers);

/// "Full jitter": random(0, min(cap, first * 2^failures)). `chance` is in [0, 1).
milliseconds RetryDelay(milliseconds first, milliseconds cap, unsigned failures, double chance);

/// Retry-After (RFC 9110, 10.2.3): seconds, or a date, which is taken against `unix_seconds` (now).
std::optional<milliseconds> ParseRetryAfter(const std::string& value, int64_t unix_seconds);

/// `RateLimit: "api";r=0;t=55` (IETF draft ietf-httpapi-ratelimit-headers, as the Hub sends it):
/// the longest t of the policies that have nothing left.
std::optional<milliseconds> ParseRateLimit(std::string_view value);

/// How long the service asks to wait, if it does.
std::optional<milliseconds> AskedDelay(const Headers& headers, int64_t unix_seconds);

}  // namespace ckpt::http
