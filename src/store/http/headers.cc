#include "store/http/headers.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"

namespace ckpt::http {

const std::string* FindHeader(const Headers& headers, std::string_view name) {
  const std::string wanted = Lower(name);
  const auto found = std::ranges::find_if(
      headers, [&](const Header& header) { return Lower(header.name) == wanted; });
  return found == headers.end() ? nullptr : &found->value;
}

std::optional<Header> ParseHeaderLine(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  return Header{std::string(line.substr(0, colon)), std::string(Trimmed(line.substr(colon + 1)))};
}

std::optional<int> ParseStatusLine(std::string_view line) {
  if (!line.starts_with("HTTP/")) return std::nullopt;
  const size_t space = std::min(line.find(' '), line.size());
  const auto status = ParseNumber(Trimmed(line.substr(space)).substr(0, 3));
  if (!status || *status < 100 || *status > 999) return std::nullopt;
  return static_cast<int>(*status);
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<ContentRange> ParseContentRange(std::string_view value) {
  constexpr std::string_view unit = "bytes ";
  if (Lower(value.substr(0, unit.size())) != unit) return std::nullopt;
  value.remove_prefix(unit.size());
  const size_t slash = value.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view range = Trimmed(value.substr(0, slash));
  const std::string_view total = Trimmed(value.substr(slash + 1));
  ContentRange result;
  if (total != "*") {
    result.total_bytes = ParseNumber(total);
    if (!result.total_bytes) return std::nullopt;
  }
  if (range == "*") return result;
  const size_t dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = ParseNumber(range.substr(0, dash));
  const auto last = ParseNumber(range.substr(dash + 1));
  if (!first || !last || *first > *last || *last == UINT64_MAX) return std::nullopt;
  if (result.total_bytes && *last >= *result.total_bytes) return std::nullopt;
  result.range = ByteRange{*first, *last + 1};
  return result;
}

std::optional<uint64_t> ContentLength(const Headers& headers) {
  const std::string* value = FindHeader(headers, "Content-Length");
  return value == nullptr ? std::nullopt : ParseNumber(*value);
}

bool IsCredential(std::string_view name) {
  constexpr std::array<std::string_view, 4> names = {"authorization", "cookie",
                                                     "proxy-authorization", "x-api-key"};
  // Whole families: SigV4's x-amz-date and -security-token, x-goog-user-project, the customers'
  // own encryption keys, Azure's signed headers.
  constexpr std::array<std::string_view, 3> families = {"x-amz-", "x-goog-", "x-ms-"};
  const std::string lower = Lower(name);
  return std::ranges::find(names, lower) != names.end() ||
         std::ranges::any_of(families,
                             [&](std::string_view family) { return lower.starts_with(family); });
}

}  // namespace ckpt::http
