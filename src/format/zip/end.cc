#include <optional>

#include "format/zip/archive.h"
#include "format/zip/fields.h"

namespace ckpt::zip {
namespace {

constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kLocatorBytes = 20;
constexpr uint64_t kEnd64Bytes = 56;
constexpr std::string_view kEndMagic = "PK\5\6";
constexpr std::string_view kLocatorMagic = "PK\6\7";
constexpr std::string_view kEnd64Magic = "PK\6\6";

// The last end record in the tail whose comment reaches exactly to the end.
std::optional<uint64_t> FindEnd(std::string_view tail) {
  for (size_t at = tail.rfind(kEndMagic); at != std::string_view::npos && at + 1 != 0;
       at = at == 0 ? std::string_view::npos : tail.rfind(kEndMagic, at - 1)) {
    if (tail.size() - at < kEndBytes) continue;
    if (at + kEndBytes + Field(tail, at + 20, 2) == tail.size()) return at;
  }
  return std::nullopt;
}

}  // namespace

Result<DirectoryPlace> FindDirectory(std::string_view tail, uint64_t file_bytes) {
  const std::optional<uint64_t> end = FindEnd(tail);
  if (!end)
    return Damaged(
        file_bytes,
        "the zip archive has no end record: the end of the file, with its directory, is missing");
  const uint64_t tail_begin = file_bytes - tail.size();
  uint64_t records_begin = tail_begin + *end;
  DirectoryPlace place;
  place.entries = Field(tail, *end + 10, 2);
  uint64_t size = Field(tail, *end + 12, 4);
  uint64_t offset = Field(tail, *end + 16, 4);
  bool is_split = Field(tail, *end + 4, 2) != 0 || Field(tail, *end + 6, 2) != 0;

  if (*end >= kLocatorBytes && tail.substr(*end - kLocatorBytes).starts_with(kLocatorMagic)) {
    const uint64_t at = Field(tail, *end - kLocatorBytes + 8, 8);
    const uint64_t locator = records_begin - kLocatorBytes;
    if (at < tail_begin || at > locator || locator - at < kEnd64Bytes ||
        !tail.substr(at - tail_begin).starts_with(kEnd64Magic))
      return Damaged(
          locator,
          fmt::format("the zip64 locator points at byte {}, where no zip64 end record is", at));
    const uint64_t in_tail = at - tail_begin;
    is_split = Field(tail, in_tail + 16, 4) != 0 || Field(tail, in_tail + 20, 4) != 0;
    place.entries = Field(tail, in_tail + 32, 8);
    size = Field(tail, in_tail + 40, 8);
    offset = Field(tail, in_tail + 48, 8);
    records_begin = at;
  }
  if (is_split)
    return Damaged(records_begin, "a part of a split zip archive", "join its parts to one file");
  if (offset > records_begin || size > records_begin - offset)
    return Damaged(
        records_begin,
        fmt::format("the directory ({} bytes at byte {}) reaches beyond its end record at byte {}",
                    size, offset, records_begin));
  if (place.entries > size / kEntryBytes)
    return Damaged(records_begin,
                   fmt::format("{} entries in a directory of {} bytes", place.entries, size));
  place.range = {offset, offset + size};
  return place;
}

}  // namespace ckpt::zip
