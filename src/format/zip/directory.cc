#include <algorithm>
#include <array>

#include "base/text.h"
#include "format/zip/archive.h"
#include "format/zip/fields.h"

namespace ckpt::zip {
namespace {

constexpr std::string_view kEntryMagic = "PK\1\2";
constexpr uint64_t kIn64 =
    0xFFFFFFFF;  // a 32-bit field whose value stands in the zip64 extra field
constexpr uint64_t kZip64Extra = 1;

// Takes the values that did not fit into 32 bits from the zip64 extra field, which has them in this
// order.
Result<void> FillFromExtra(std::string_view extra, uint64_t byte,
                           std::span<uint64_t* const> fields) {
  if (std::none_of(fields.begin(), fields.end(),
                   [](const uint64_t* field) { return *field == kIn64; }))
    return {};
  while (extra.size() >= 4) {
    const uint64_t id = Field(extra, 0, 2);
    const uint64_t length = Field(extra, 2, 2);
    if (length > extra.size() - 4) break;
    std::string_view body = extra.substr(4, length);
    extra.remove_prefix(4 + length);
    if (id != kZip64Extra) continue;
    for (uint64_t* field : fields) {
      if (*field != kIn64) continue;
      if (body.size() < 8)
        return Damaged(byte, "the zip64 field of a directory entry is too short");
      *field = Field(body, 0, 8);
      body.remove_prefix(8);
    }
    return {};
  }
  return Damaged(byte,
                 "a directory entry has no zip64 field for a size or offset of 4 GiB or more");
}

Method MethodOf(uint64_t number) {
  if (number == 0) return Method::kStored;
  return number == 8 ? Method::kDeflated : Method::kOther;
}

// One entry from the front of `rest`, which is at `byte` of the file.
Result<Record> TakeEntry(std::string_view& rest, uint64_t byte) {
  if (rest.size() < kEntryBytes || !rest.starts_with(kEntryMagic))
    return Damaged(byte, "the zip directory has no entry here");
  const uint64_t name_bytes = Field(rest, 28, 2);
  const uint64_t extra_bytes = Field(rest, 30, 2);
  const uint64_t comment_bytes = Field(rest, 32, 2);
  const uint64_t entry_bytes = kEntryBytes + name_bytes + extra_bytes + comment_bytes;
  if (entry_bytes > rest.size())
    return Damaged(byte, "an entry reaches beyond the end of the zip directory");
  Record record;
  record.name = rest.substr(kEntryBytes, name_bytes);
  record.is_encrypted = (Field(rest, 8, 2) & 1U) != 0;
  record.method = MethodOf(Field(rest, 10, 2));
  record.crc32 = static_cast<uint32_t>(Field(rest, 16, 4));
  record.stored_bytes = Field(rest, 20, 4);
  record.size_bytes = Field(rest, 24, 4);
  record.header_offset = Field(rest, 42, 4);
  const std::array<uint64_t*, 3> fields = {&record.size_bytes, &record.stored_bytes,
                                           &record.header_offset};
  CKPT_TRY_VOID(FillFromExtra(rest.substr(kEntryBytes + name_bytes, extra_bytes), byte, fields));
  if (FirstInvalidUtf8(record.name) != std::string_view::npos)
    return Damaged(byte, "a record's name is not UTF-8");
  if (record.method == Method::kStored && record.stored_bytes != record.size_bytes)
    return Damaged(byte, fmt::format("record {} is stored as it is, but with {} of its {} bytes",
                                     Excerpt(record.name), record.stored_bytes, record.size_bytes));
  rest.remove_prefix(entry_bytes);
  return record;
}

Result<void> CheckNames(std::span<const Record> records, uint64_t byte) {
  std::vector<std::string_view> names;
  names.reserve(records.size());
  for (const Record& record : records) names.push_back(record.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return {};
  return Damaged(byte,
                 fmt::format("two records have the name {}: readers disagree on which one counts",
                             Excerpt(*twice)),
                 "the file was put together by hand: save it again with torch.save");
}

}  // namespace

Result<std::vector<Record>> DecodeDirectory(std::string_view directory,
                                            const DirectoryPlace& place) {
  std::vector<Record> records;
  records.reserve(std::min(place.entries, directory.size() / kEntryBytes));
  std::string_view rest = directory;
  for (uint64_t i = 0; i < place.entries; ++i) {
    CKPT_TRY(Record record, TakeEntry(rest, place.range.end - rest.size()));
    records.push_back(std::move(record));
  }
  if (!rest.empty())
    return Damaged(place.range.end - rest.size(),
                   fmt::format("{} bytes after the last entry of the zip directory", rest.size()));
  CKPT_TRY_VOID(CheckNames(records, place.range.begin));
  std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) {
    return a.header_offset != b.header_offset ? a.header_offset < b.header_offset : a.name < b.name;
  });
  return records;
}

}  // namespace ckpt::zip
