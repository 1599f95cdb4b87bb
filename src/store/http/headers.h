#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/byte_range.h"
#include "store/http/http.h"

namespace ckpt::http {

/// "name: value" without the white space around the value; nothing for any other line.
std::optional<Header> ParseHeaderLine(std::string_view line);

/// The status of "HTTP/1.1 206 Partial Content"; nothing for any other line.
std::optional<int> ParseStatusLine(std::string_view line);

/// A whole decimal number that fits.
std::optional<uint64_t> ParseNumber(std::string_view text);

/// Content-Range (RFC 9110, 14.4).
struct ContentRange {
  std::optional<ByteRange> range;       ///< absent in "bytes */1234" (of a 416)
  std::optional<uint64_t> total_bytes;  ///< absent in "bytes 0-1/*"
};
std::optional<ContentRange> ParseContentRange(std::string_view value);

/// Content-Length, where there is one and it is a number.
std::optional<uint64_t> ContentLength(const Headers& headers);

/// Headers that say who asks, or hold keys: bound to the origin they were made for.
bool IsCredential(std::string_view name);

}  // namespace ckpt::http
