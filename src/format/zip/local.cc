#include <algorithm>

#include "base/text.h"
#include "format/zip/archive.h"
#include "format/zip/fields.h"

namespace ckpt::zip {
namespace {

constexpr std::string_view kLocalMagic = "PK\3\4";

}  // namespace

ByteRange LocalHeaderRange(const Record& record, uint64_t end) {
  const uint64_t begin = std::min(record.header_offset, end);
  return {begin, begin + std::min(kLocalHeaderBytes + record.name.size(), end - begin)};
}

Result<void> PlaceRecord(std::string_view local_header, uint64_t end, Record& record) {
  const uint64_t byte = record.header_offset;
  const std::string name = Excerpt(record.name);
  if (local_header.size() < kLocalHeaderBytes + record.name.size() ||
      !local_header.starts_with(kLocalMagic))
    return Damaged(
        byte, fmt::format("the directory says that record {} begins here, and it does not", name));
  const uint64_t name_bytes = Field(local_header, 26, 2);
  const uint64_t extra_bytes = Field(local_header, 28, 2);
  if (name_bytes != record.name.size() ||
      local_header.substr(kLocalHeaderBytes, name_bytes) != record.name)
    return Damaged(
        byte,
        fmt::format("the record here has another name than the directory gives it ({})", name));
  const uint64_t data = byte + kLocalHeaderBytes + name_bytes + extra_bytes;
  if (data > end || record.stored_bytes > end - data)
    return Damaged(
        byte,
        fmt::format("record {} has {} bytes from byte {} on, which reach beyond byte {}, where the "
                    "directory begins",
                    name, record.stored_bytes, data, end));
  record.data = {data, data + record.stored_bytes};
  return {};
}

Result<void> CheckOverlap(std::span<const Record> records) {
  for (size_t i = 1; i < records.size(); ++i) {
    if (records[i - 1].data.end <= records[i].header_offset) continue;
    return Damaged(records[i].header_offset,
                   fmt::format("record {} begins inside record {}", Excerpt(records[i].name),
                               Excerpt(records[i - 1].name)));
  }
  return {};
}

}  // namespace ckpt::zip
