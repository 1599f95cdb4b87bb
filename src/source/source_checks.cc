#include "source/source_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <utility>

#include "base/crc32.h"
#include "base/crc32c.h"
#include "base/text.h"
#include "base/units.h"
#include "source/reading.h"

namespace ckpt {
namespace {

// Of one check in one bundle.
constexpr size_t kMostParts = 4096;
// Of one object, to be read for its checksum alone: a header, which may hold a vocabulary.
constexpr uint64_t kMostRestBytes = 32 * kMiB;
// At once, within what plans set aside for tables.
constexpr uint64_t kRestStepBytes = 512 * kKiB;

uint32_t SumOf(StoredCheck::Kind kind, std::span<const std::byte> bytes) {
  return kind == StoredCheck::Kind::kCrc32 ? Crc32::Of(bytes).value() : Crc32c::Of(bytes).value();
}

// Of the bytes of `a` followed by the `b_bytes` of `b`.
template <class CrcT>
uint32_t JoinedAs(uint32_t a, uint32_t b, uint64_t b_bytes) {
  CrcT crc(a, 0);
  crc.Append(CrcT(b, b_bytes));
  return crc.value();
}
uint32_t Joined(StoredCheck::Kind kind, uint32_t a, uint32_t b, uint64_t b_bytes) {
  return kind == StoredCheck::Kind::kCrc32 ? JoinedAs<Crc32>(a, b, b_bytes)
                                           : JoinedAs<Crc32c>(a, b, b_bytes);
}

// Reads through `inner` and tells the collector.
class WatchedReader : public ObjectReader {
 public:
  WatchedReader(std::unique_ptr<ObjectReader> inner, SourceChecks& checks, uint32_t object)
      : inner_(std::move(inner)), checks_(checks), object_(object) {}

  const ObjectInfo& info() const override { return inner_->info(); }
  bool IsInMemory() const override { return inner_->IsInMemory(); }

  IoFuture ReadWindow(ByteRange range, std::span<std::byte> window) override {
    // Runs in whoever waits. A reader may end before its futures are asked: nothing of `this` is
    // needed then.
    return std::async(std::launch::deferred,
                      [read = inner_->ReadWindow(range, window), &checks = checks_,
                       object = object_, range, window]() mutable -> Result<void> {
                        CKPT_TRY_VOID(read.get());
                        checks.Add(object, range.begin,
                                   window.subspan(range.begin % kIoAlignment, range.size()));
                        return {};
                      });
  }

  Result<void> Read(ByteRange range, std::span<std::byte> into) override {
    CKPT_TRY_VOID(inner_->Read(range, into));
    checks_.Add(object_, range.begin, into);
    return {};
  }

 private:
  std::unique_ptr<ObjectReader> inner_;
  SourceChecks& checks_;
  const uint32_t object_;
};

// Those of one check; `parts` are sorted.
std::span<const CheckPart> PartsOf(std::span<const CheckPart> parts, size_t check) {
  const auto [begin, end] =
      std::equal_range(parts.begin(), parts.end(), CheckPart{static_cast<uint32_t>(check), 0, 0, 0},
                       [](const CheckPart& a, const CheckPart& b) { return a.check < b.check; });
  return {begin, end};
}

// The checksum of a check's whole range, out of its parts, which may overlap: bundles that read the
// same bytes each have theirs, and some of the parts follow one another from end to end.
std::optional<uint32_t> SumOfAll(std::span<const CheckPart> parts, const StoredCheck& check) {
  std::map<uint64_t, uint32_t> reached = {{check.range.begin, 0}};
  for (const CheckPart& part : parts) {
    const auto from = reached.find(part.begin);
    if (from == reached.end()) continue;
    reached.emplace(part.begin + part.size_bytes,
                    Joined(check.kind, from->second, part.sum, part.size_bytes));
  }
  const auto whole = reached.find(check.range.end);
  return whole == reached.end() ? std::nullopt : std::optional(whole->second);
}

// What no part covers.
std::vector<ByteRange> RestOf(std::span<const CheckPart> parts, const StoredCheck& check) {
  std::vector<ByteRange> rest;
  uint64_t at = check.range.begin;
  for (const CheckPart& part : parts) {
    if (part.begin > at) rest.push_back({at, part.begin});
    at = std::max(at, part.begin + part.size_bytes);
  }
  if (at < check.range.end) rest.push_back({at, check.range.end});
  return rest;
}

std::string Words(const StoredCheck& check, uint32_t found) {
  if (check.kind == StoredCheck::Kind::kCrc32c)
    return fmt::format(
        "what was read has the CRC-32C {:08x}, the store says {:08x} of the object: bytes are "
        "damaged",
        found, check.sum);
  return fmt::format(
      "record {} has the CRC-32 {:08x}, the zip directory says {:08x}: its bytes are damaged",
      Excerpt(check.name), found, check.sum);
}

}  // namespace

std::unique_ptr<ObjectReader> SourceChecks::Watch(std::unique_ptr<ObjectReader> reader,
                                                  uint32_t object) {
  const bool has_checks =
      std::any_of(catalog_.checks.begin(), catalog_.checks.end(),
                  [&](const StoredCheck& check) { return check.object == object; });
  if (!has_checks) return reader;
  return std::make_unique<WatchedReader>(std::move(reader), *this, object);
}

// What of `range` is not in the log yet is added, joined with its neighbours: a bundle that reads
// some bytes again has them in its log once.
void SourceChecks::AddTo(State& state, StoredCheck::Kind kind, ByteRange range,
                         std::span<const std::byte> bytes) {
  std::vector<ByteRange> missing;
  auto next = state.parts.upper_bound(range.begin);
  uint64_t at = range.begin;
  if (next != state.parts.begin()) at = std::max(at, std::prev(next)->second.first);
  while (at < range.end) {
    const uint64_t stop = next == state.parts.end() ? range.end : std::min(range.end, next->first);
    if (at < stop) missing.push_back({at, stop});
    if (next == state.parts.end()) break;
    at = std::max(at, next->second.first);
    ++next;
  }
  for (const ByteRange& part : missing) {
    auto made =
        state.parts
            .emplace(
                part.begin,
                Part(part.end, SumOf(kind, bytes.subspan(part.begin - range.begin, part.size()))))
            .first;
    const auto join = [&](auto first, auto second) {
      if (first->second.first != second->first) return first;
      const auto [end, sum] = second->second;
      first->second = {end, Joined(kind, first->second.second, sum, end - second->first)};
      state.parts.erase(second);
      return first;
    };
    if (made != state.parts.begin()) {
      const auto before = std::prev(made);
      if (before->second.first == made->first) made = join(before, made);
    }
    if (const auto after = std::next(made); after != state.parts.end()) join(made, after);
  }
  if (state.parts.size() <= kMostParts) return;
  state.is_given_up = true;
  state.parts.clear();
}

void SourceChecks::Add(uint32_t object, uint64_t begin, std::span<const std::byte> bytes) {
  const uint64_t end = begin + bytes.size();
  const auto first = std::partition_point(
      catalog_.checks.begin(), catalog_.checks.end(), [&](const StoredCheck& check) {
        return check.object != object ? check.object < object : check.range.end <= begin;
      });
  ThreadLog* log = nullptr;
  for (auto check = first;
       check != catalog_.checks.end() && check->object == object && check->range.begin < end;
       ++check) {
    if (log == nullptr) {
      const std::lock_guard lock(mutex_);
      log = &logs_[std::this_thread::get_id()];
    }
    State& state = (*log)[static_cast<uint32_t>(check - catalog_.checks.begin())];
    if (state.is_given_up) continue;
    const ByteRange range{std::max(begin, check->range.begin), std::min(end, check->range.end)};
    AddTo(state, check->kind, range, bytes.subspan(range.begin - begin, range.size()));
  }
}

void SourceChecks::AddParts(const ThreadLog& log, std::vector<CheckPart>& parts) {
  for (const auto& [check, state] : log) {
    for (const auto& [begin, part] : state.parts)
      parts.push_back({check, begin, part.first - begin, part.second});
  }
}

std::vector<CheckPart> SourceChecks::Take() {
  std::vector<CheckPart> parts;
  const std::lock_guard lock(mutex_);
  const auto log = logs_.find(std::this_thread::get_id());
  if (log == logs_.end()) return parts;
  AddParts(log->second, parts);
  log->second.clear();
  return parts;
}

void SourceChecks::Keep(std::span<const CheckPart> parts) {
  const std::lock_guard lock(mutex_);
  kept_.insert(kept_.end(), parts.begin(), parts.end());
}

// By check and place.
std::vector<CheckPart> SourceChecks::AllParts() const {
  const std::lock_guard lock(mutex_);
  std::vector<CheckPart> parts = kept_;
  for (const auto& [thread, log] : logs_) AddParts(log, parts);
  std::sort(parts.begin(), parts.end(), [](const CheckPart& a, const CheckPart& b) {
    return a.check != b.check ? a.check < b.check : a.begin < b.begin;
  });
  return parts;
}

Result<void> SourceChecks::ReadTheRest(Store& store) {
  const std::vector<CheckPart> parts = AllParts();
  std::vector<CheckPart> rest_parts;
  for (size_t i = 0; i < catalog_.checks.size(); ++i) {
    const StoredCheck& check = catalog_.checks[i];
    if (check.kind != StoredCheck::Kind::kCrc32c) continue;
    const std::vector<ByteRange> rest = RestOf(PartsOf(parts, i), check);
    uint64_t rest_bytes = 0;
    for (const ByteRange& range : rest) rest_bytes += range.size();
    if (rest.empty() || rest_bytes > kMostRestBytes) continue;
    const auto in_file = InFile(store, catalog_.objects[check.object].name);
    CKPT_TRY(const auto reader, store.Open(catalog_.objects[check.object]).map_error(in_file));
    for (const ByteRange& range : rest) {
      for (uint64_t at = range.begin; at < range.end; at += kRestStepBytes) {
        std::vector<std::byte> bytes(std::min(kRestStepBytes, range.end - at));
        CKPT_TRY_VOID(reader->Read({at, at + bytes.size()}, bytes).map_error(in_file));
        rest_parts.push_back(
            {static_cast<uint32_t>(i), at, bytes.size(), SumOf(check.kind, bytes)});
      }
    }
  }
  Keep(rest_parts);
  return {};
}

Result<SourceChecks::Verdict> SourceChecks::Finish() const {
  const std::vector<CheckPart> parts = AllParts();
  Verdict verdict;
  for (size_t i = 0; i < catalog_.checks.size(); ++i) {
    const StoredCheck& check = catalog_.checks[i];
    const std::optional<uint32_t> found = SumOfAll(PartsOf(parts, i), check);
    if (!found) {
      ++verdict.incomplete;
      continue;
    }
    if (*found == check.sum) {
      ++verdict.checked;
      continue;
    }
    return Fail({Code::kBadInput,
                 Words(check, *found),
                 {},
                 {{"byte", std::to_string(check.range.begin)},
                  {"file", PrintObject(catalog_, check.object)}},
                 check.kind == StoredCheck::Kind::kCrc32
                     ? "fetch the file again"
                     : "run again: it is read again; where it stays so, upload the object again"});
  }
  return verdict;
}

std::vector<uint32_t> SourceChecks::Damaged() const {
  const std::vector<CheckPart> parts = AllParts();
  std::vector<uint32_t> damaged;
  for (size_t i = 0; i < catalog_.checks.size(); ++i) {
    const std::optional<uint32_t> found = SumOfAll(PartsOf(parts, i), catalog_.checks[i]);
    if (found && *found != catalog_.checks[i].sum) damaged.push_back(static_cast<uint32_t>(i));
  }
  return damaged;
}

}  // namespace ckpt
