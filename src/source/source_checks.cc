#include "source/source_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <utility>

#include "base/text.h"

namespace ckpt {
namespace {

// Of one check in one bundle.
constexpr size_t kMostParts = 4096;

// Reads through `inner` and tells the collector.
class WatchedReader : public ObjectReader {
 public:
  WatchedReader(std::unique_ptr<ObjectReader> inner, SourceChecks& checks, uint32_t object)
      : inner_(std::move(inner)), checks_(checks), object_(object) {}

  const ObjectInfo& info() const override { return inner_->info(); }

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

// The CRC-32 of a check's whole range, out of parts that may overlap: bundles that read the same
// bytes each have theirs, and some of the parts follow one another from end to end.
std::optional<uint32_t> ValueOf(std::span<const CheckPart> parts, size_t check, ByteRange range) {
  std::map<uint64_t, Crc32> reached = {{range.begin, Crc32()}};
  auto part = std::lower_bound(parts.begin(), parts.end(), check,
                               [](const CheckPart& a, size_t b) { return a.check < b; });
  for (; part != parts.end() && part->check == check; ++part) {
    const auto from = reached.find(part->begin);
    if (from == reached.end()) continue;
    Crc32 crc = from->second;
    crc.Append(part->crc);
    reached.emplace(part->begin + part->crc.size_bytes(), crc);
  }
  const auto whole = reached.find(range.end);
  return whole == reached.end() ? std::nullopt : std::optional(whole->second.value());
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
void SourceChecks::AddTo(State& state, ByteRange range, std::span<const std::byte> bytes) {
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
    auto made = state.parts
                    .emplace(part.begin,
                             Part(part.end,
                                  Crc32::Of(bytes.subspan(part.begin - range.begin, part.size()))))
                    .first;
    const auto join = [&](auto first, auto second) {
      if (first->second.first != second->first) return first;
      first->second.second.Append(second->second.second);
      first->second.first = second->second.first;
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
    AddTo(state, range, bytes.subspan(range.begin - begin, range.size()));
  }
}

void SourceChecks::AddParts(const ThreadLog& log, std::vector<CheckPart>& parts) {
  for (const auto& [check, state] : log) {
    for (const auto& [begin, part] : state.parts) parts.push_back({check, begin, part.second});
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

Result<SourceChecks::Verdict> SourceChecks::Finish() const {
  const std::lock_guard lock(mutex_);
  std::vector<CheckPart> parts = kept_;
  for (const auto& [thread, log] : logs_) AddParts(log, parts);
  std::sort(parts.begin(), parts.end(), [](const CheckPart& a, const CheckPart& b) {
    return a.check != b.check ? a.check < b.check : a.begin < b.begin;
  });
  Verdict verdict;
  for (size_t i = 0; i < catalog_.checks.size(); ++i) {
    const StoredCheck& check = catalog_.checks[i];
    const std::optional<uint32_t> found = ValueOf(parts, i, check.range);
    if (!found) {
      ++verdict.incomplete;
      continue;
    }
    if (*found == check.crc32) {
      ++verdict.checked;
      continue;
    }
    return Fail({Code::kBadInput,
                 fmt::format("record {} has the CRC-32 {:08x}, the zip directory says {:08x}: its "
                             "bytes are damaged",
                             Excerpt(check.name), *found, check.crc32),
                 {},
                 {{"byte", std::to_string(check.range.begin)},
                  {"file", PrintObject(catalog_, check.object)}},
                 "fetch the file again"});
  }
  return verdict;
}

}  // namespace ckpt
