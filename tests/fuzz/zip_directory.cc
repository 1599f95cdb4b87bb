#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "format/zip/archive.h"
#include "tests/fuzz/expect.h"

namespace ckpt::zip {
namespace {

// Every record that is accepted lies inside the file, before the directory, behind the record
// before it.
Result<void> Run(std::string_view file) {
  const std::string_view tail =
      file.substr(file.size() - std::min<size_t>(file.size(), kTailBytes));
  CKPT_TRY(const DirectoryPlace place, FindDirectory(tail, file.size()));
  FUZZ_EXPECT(place.range.begin <= place.range.end && place.range.end <= file.size());
  CKPT_TRY(std::vector<Record> records,
           DecodeDirectory(file.substr(place.range.begin, place.range.size()), place));
  FUZZ_EXPECT(records.size() == place.entries);
  for (Record& record : records) {
    const ByteRange range = LocalHeaderRange(record, place.range.begin);
    FUZZ_EXPECT(range.begin <= range.end && range.end <= place.range.begin);
    CKPT_TRY_VOID(PlaceRecord(file.substr(range.begin, range.size()), place.range.begin, record));
  }
  CKPT_TRY_VOID(CheckOverlap(records));
  uint64_t end = 0;
  for (const Record& record : records) {
    FUZZ_EXPECT(record.data.begin >= end && record.data.end <= place.range.begin);
    FUZZ_EXPECT(record.data.size() == record.stored_bytes);
    end = record.data.end;
  }
  return {};
}

}  // namespace
}  // namespace ckpt::zip

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto result = ckpt::zip::Run({reinterpret_cast<const char*>(data), size});
  FUZZ_EXPECT(result ||
              (result.error().code == ckpt::Code::kBadInput && !result.error().remedy.empty()));
  return 0;
}
