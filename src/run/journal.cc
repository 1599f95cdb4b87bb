#include "run/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <mutex>
#include <thread>

#include "base/text.h"
#include "run/find_object.h"
#include "run/shard_log.h"
#include "run/unfinished_file.h"

namespace ckpt {
namespace {

constexpr uint64_t kMostRecordBytes = 64ULL << 20;
constexpr uint64_t kMostSideBytes = 1ULL << 30;

}  // namespace

std::string StateFolder(std::string_view name) { return Below(kStateFolder, name); }

std::string TemporaryFolder(std::string_view state_name) {
  return StateFolder(state_name) + "/tmp";
}

CreateOptions StateObject(std::string_view state_name, bool is_create_only) {
  return {.is_create_only = is_create_only, .temporary_folder = TemporaryFolder(state_name)};
}

std::string Journal::RecordName(uint32_t number) const {
  return fmt::format("{}/journal/{:06}", folder_, number);
}
std::string Journal::SideName(uint32_t number) const {
  return fmt::format("{}/side/{:06}", folder_, number);
}

Result<void> Journal::Put(const BundleRecord& record) {
  EncodedRecord encoded = EncodeRecord(record, run_digest_);
  if (!encoded.side_file.empty())
    CKPT_TRY_VOID(WriteSmallObject(store_, SideName(record.number), encoded.side_file,
                                   {.is_create_only = false}));
  Result<ObjectInfo> made =
      WriteSmallObject(store_, RecordName(record.number), encoded.record, {.is_create_only = true});
  if (made) {
    Keep(record.number, std::move(encoded.record));
    return {};
  }
  if (made.error().code != Code::kCannotCreate) return Fail(std::move(made).error());
  return CompareWithOther(record, std::move(made).error());
}

// Another process may have been faster. `exists`: the error if it was not that.
Result<void> Journal::CompareWithOther(const BundleRecord& record, Error exists) {
  const Result<BundleRecord> other = Read(record.number);
  if (!other && other.error().code == Code::kNotFound) return Fail(std::move(exists));
  if (!other) return Fail(other.error());
  if (other->IsEqualTo(record)) return {};
  return Result<void>(
             Fail(Code::kIo,
                  fmt::format("bundle {} was recorded with other bytes by another process",
                              record.number),
                  "the source was changed meanwhile, or one of the machines is faulty: remove the "
                  "output with \"ckpt clean\", then run again"))
      .map_error(Where("file", store_.root().PrintBelow(RecordName(record.number))));
}

Result<BundleRecord> Journal::Get(uint32_t number, Sides sides) const {
  const std::optional<std::string> kept = Kept(number);
  return kept ? Decode(number, *kept, sides) : Read(number, sides);
}

Result<BundleRecord> Journal::Read(uint32_t number, Sides sides) const {
  CKPT_TRY(std::string record, store_.ReadWhole(RecordName(number), kMostRecordBytes));
  Result<BundleRecord> decoded = Decode(number, record, sides);
  if (decoded) Keep(number, std::move(record));
  return decoded;
}

Result<BundleRecord> Journal::Decode(uint32_t number, std::string_view record, Sides sides) const {
  std::optional<std::string> side_file;
  if (sides == Sides::kRead && HasSideFile(record)) {
    CKPT_TRY(side_file, store_.ReadWhole(SideName(number), kMostSideBytes));
  }
  return DecodeRecord(record, side_file, run_digest_)
      .map_error(Where("file", store_.root().PrintBelow(RecordName(number))));
}

std::optional<std::string> Journal::Kept(uint32_t number) const {
  const std::lock_guard lock(mutex_);
  const auto kept = kept_.find(number);
  return kept == kept_.end() ? std::nullopt : std::optional(kept->second);
}

void Journal::Keep(uint32_t number, std::string record) const {
  const std::lock_guard lock(mutex_);
  if (kept_bytes_ + record.size() > kMostKeptBytes || kept_.contains(number)) return;
  kept_bytes_ += record.size();
  kept_.emplace(number, std::move(record));
}

void Journal::Forget(uint32_t number) {
  const std::lock_guard lock(mutex_);
  const auto kept = kept_.find(number);
  if (kept == kept_.end()) return;
  kept_bytes_ -= kept->second.size();
  kept_.erase(kept);
}

Result<std::vector<uint32_t>> Journal::List() const {
  const std::string folder = folder_ + "/journal";
  CKPT_TRY(const std::vector<ObjectInfo> objects, store_.List(folder));
  std::vector<uint32_t> numbers;
  for (const ObjectInfo& object : objects) {
    const std::string_view leaf = std::string_view(object.name).substr(folder.size() + 1);
    uint32_t number = 0;
    const auto parsed = std::from_chars(leaf.data(), leaf.data() + leaf.size(), number);
    // A record that is being written has another name until it is whole.
    if (parsed.ec == std::errc() && object.name == RecordName(number)) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Result<bool> Journal::Has(uint32_t number) const {
  CKPT_TRY(const std::optional<ObjectInfo> record, FindObject(store_, RecordName(number)));
  return record.has_value();
}

Result<void> Journal::Drop(std::span<const uint32_t> numbers) {
  for (const uint32_t number : numbers) {
    Forget(number);
    CKPT_TRY_VOID(store_.Remove(RecordName(number)));
    CKPT_TRY_VOID(store_.Remove(SideName(number)));
  }
  return {};
}

Result<void> Journal::DropAll() {
  CKPT_TRY(const std::vector<uint32_t> numbers, List());
  return Drop(numbers);
}

Result<void> Journal::ForEach(std::span<const uint32_t> numbers,
                              const std::function<Result<void>(BundleRecord)>& take,
                              std::vector<uint32_t>* damaged, Sides sides) const {
  std::mutex mutex;
  std::optional<Error> first_error;
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < numbers.size(); i = next++) {
      Result<BundleRecord> record = Get(numbers[i], sides);
      const std::lock_guard lock(mutex);
      if (first_error) return;
      if (!record && record.error().code == Code::kBadInput && damaged != nullptr) {
        damaged->push_back(numbers[i]);
        continue;
      }
      const Result<void> taken =
          record ? take(*std::move(record)) : Result<void>(Fail(std::move(record).error()));
      if (!taken) first_error = taken.error();
    }
  };
  {
    // They end with this call; each waits for one small object at a time.
    std::vector<std::jthread> readers;
    for (size_t i = 1; i < std::min<size_t>(readers_, numbers.size()); ++i)
      readers.emplace_back(work);
    work();
  }
  if (first_error) return Fail(*std::move(first_error));
  return {};
}

Result<void> Journal::Clear() {
  for (const std::string_view folder : {std::string_view("journal"), std::string_view("side"),
                                        std::string_view("tmp"), kShardsFolder})
    CKPT_TRY_VOID(store_.RemoveAll(fmt::format("{}/{}", folder_, folder)));
  return store_.Remove(folder_ + "/" + std::string(kUnfinishedName));
}

}  // namespace ckpt
