#include "store/http/retry.h"

#include <curl/curl.h>

#include <algorithm>

#include "base/text.h"
#include "store/http/headers.h"

namespace ckpt::http {
namespace {

constexpr uint64_t kMostAskedSeconds = uint64_t{365} * 24 * 3600;  // keeps sums far from overflow

milliseconds OfSeconds(uint64_t seconds) {
  return std::chrono::seconds(std::min(seconds, kMostAskedSeconds));
}

}  // namespace

bool IsRetriableStatus(int status) {
  return status == 408 || status == 429 || (status >= 500 && status <= 599);
}

bool IsSurelyRefused(int status, const Headers& headers) {
  return status == 429 || (status == 503 && FindHeader(headers, "Retry-After") != nullptr);
}

milliseconds RetryDelay(milliseconds first, milliseconds cap, unsigned failures, double chance) {
  milliseconds most = first;
  for (unsigned i = 0; i < failures && most < cap; ++i) most *= 2;
  most = std::min(most, cap);
  return milliseconds(static_cast<int64_t>(static_cast<double>(most.count()) * chance));
}

std::optional<milliseconds> ParseRetryAfter(const std::string& value, int64_t unix_seconds) {
  if (const auto seconds = ParseNumber(value)) return OfSeconds(*seconds);
  const int64_t date = curl_getdate(value.c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return OfSeconds(static_cast<uint64_t>(std::max<int64_t>(date - unix_seconds, 0)));
}

std::optional<milliseconds> ParseRateLimit(std::string_view value) {
  std::optional<milliseconds> longest;
  for (const std::string& policy : Split(value, ',')) {
    std::optional<uint64_t> left;
    std::optional<uint64_t> seconds;
    for (const std::string& parameter : Split(policy, ';')) {
      const std::string_view text = Trimmed(parameter);
      if (text.starts_with("r=")) left = ParseNumber(text.substr(2));
      if (text.starts_with("t=")) seconds = ParseNumber(text.substr(2));
    }
    if (!seconds || left.value_or(0) > 0) continue;
    longest = std::max(longest.value_or(milliseconds(0)), OfSeconds(*seconds));
  }
  return longest;
}

std::optional<milliseconds> AskedDelay(const Headers& headers, int64_t unix_seconds) {
  if (const std::string* value = FindHeader(headers, "Retry-After")) {
    if (const auto delay = ParseRetryAfter(*value, unix_seconds)) return delay;
  }
  const std::string* value = FindHeader(headers, "RateLimit");
  return value == nullptr ? std::nullopt : ParseRateLimit(*value);
}

}  // namespace ckpt::http
