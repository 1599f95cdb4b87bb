#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/crc32c.h"
#include "base/result.h"

namespace ckpt::gs {

/// What Cloud Storage says of an object.
struct ObjectMeta {
  std::string name;  ///< whole, from the bucket's root
  uint64_t size_bytes = 0;
  std::string generation;
  int64_t modified_ns = 0;
  std::optional<Crc32c> crc32c;
  std::string content_encoding;
};

/// Of objects.list. A page may be empty and yet have a successor.
struct ListPage {
  std::vector<ObjectMeta> objects;
  std::string next_page_token;  ///< "": the last page
};

/// The `fields` parameters that ask for just what these read.
inline constexpr std::string_view kObjectFields =
    "name,size,generation,crc32c,updated,contentEncoding";
inline constexpr std::string_view kListFields =
    "nextPageToken,items(name,size,generation,crc32c,updated,contentEncoding)";

/// Errors: kUnavailable, since it is the service that broke its promise.
Result<ObjectMeta> ParseObject(std::string_view json);
Result<ListPage> ParseListPage(std::string_view json);

/// Base64 of the value in big-endian order, as in "crc32c" and x-goog-hash.
std::string PrintCrc32c(const Crc32c& crc32c);
std::optional<uint32_t> ParseCrc32c(std::string_view text);

/// Nanoseconds since 1970 of "2026-01-31T23:59:59.123Z" (RFC 3339, any offset); 0 where it is none.
int64_t ParseTime(std::string_view text);

}  // namespace ckpt::gs
