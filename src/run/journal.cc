#include "run/journal.h"

#include <fmt/format.h>

#include "base/text.h"

namespace ckpt {
namespace {
constexpr uint64_t kMostRecordBytes = 64ULL << 20;
constexpr uint64_t kMostSideBytes = 1ULL << 30;
}  // namespace

std::string StateFolder(std::string_view name) { return Below(kStateFolder, name); }

std::string Journal::RecordName(uint32_t number) const {
  return fmt::format("{}/journal/{:06}", folder_, number);
}
std::string Journal::SideName(uint32_t number) const {
  return fmt::format("{}/side/{:06}", folder_, number);
}

Result<void> Journal::Put(const BundleRecord& record) {
  const EncodedRecord encoded = EncodeRecord(record, run_digest_);
  if (!encoded.side_file.empty())
    CKPT_TRY_VOID(WriteSmallObject(store_, SideName(record.number), encoded.side_file,
                                   {.is_create_only = false}));
  CKPT_TRY_VOID(WriteSmallObject(store_, RecordName(record.number), encoded.record,
                                 {.is_create_only = true}));
  return {};
}

Result<BundleRecord> Journal::Get(uint32_t number) const {
  CKPT_TRY(const std::string record, ReadSmallObject(store_, RecordName(number), kMostRecordBytes));
  std::string side;
  if (HasSideFile(record)) {
    CKPT_TRY(side, ReadSmallObject(store_, SideName(number), kMostSideBytes));
  }
  return DecodeRecord(record, side, run_digest_)
      .map_error(Where("file", store_.root().PrintBelow(RecordName(number))));
}

Result<void> Journal::Clear() {
  for (const std::string_view folder : {"journal", "side"})
    CKPT_TRY_VOID(store_.RemoveAll(fmt::format("{}/{}", folder_, folder)));
  return {};
}

}  // namespace ckpt
