#include "source/source_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <utility>

#include "base/text.h"

namespace ckpt {
namespace {

// Of one check at one time; a run that reads rows across hundreds of bands stays far below.
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

}  // namespace

SourceChecks::SourceChecks(const Catalog& catalog)
    : catalog_(catalog), states_(catalog.checks.size()) {}

std::unique_ptr<ObjectReader> SourceChecks::Watch(std::unique_ptr<ObjectReader> reader,
                                                  uint32_t object) {
  const bool has_checks =
      std::any_of(catalog_.checks.begin(), catalog_.checks.end(),
                  [&](const StoredCheck& check) { return check.object == object; });
  if (!has_checks) return reader;
  return std::make_unique<WatchedReader>(std::move(reader), *this, object);
}

// The parts of `range` that nobody has taken yet; they are the caller's from now on.
std::vector<ByteRange> SourceChecks::Claim(State& state, ByteRange range) {
  std::vector<ByteRange> claimed;
  auto next = state.parts.upper_bound(range.begin);
  uint64_t at = range.begin;
  if (next != state.parts.begin()) at = std::max(at, std::prev(next)->second.end);
  while (at < range.end) {
    const uint64_t stop = next == state.parts.end() ? range.end : std::min(range.end, next->first);
    if (at < stop) claimed.push_back({at, stop});
    if (next == state.parts.end()) break;
    at = std::max(at, next->second.end);
    ++next;
  }
  for (const ByteRange& part : claimed) state.parts[part.begin] = {part.end, {}, false};
  return claimed;
}

// A claimed part is read: joined with its neighbours where they are read too.
void SourceChecks::Settle(State& state, ByteRange range, const Crc32& crc) {
  auto part = state.parts.find(range.begin);
  if (part == state.parts.end()) return;  // given up meanwhile
  part->second.crc = crc;
  part->second.is_done = true;
  if (part != state.parts.begin()) {
    const auto before = std::prev(part);
    if (before->second.is_done && before->second.end == part->first) {
      before->second.crc.Append(part->second.crc);
      before->second.end = part->second.end;
      state.parts.erase(part);
      part = before;
    }
  }
  const auto after = std::next(part);
  if (after == state.parts.end() || !after->second.is_done || part->second.end != after->first)
    return;
  part->second.crc.Append(after->second.crc);
  part->second.end = after->second.end;
  state.parts.erase(after);
}

void SourceChecks::Add(uint32_t object, uint64_t begin, std::span<const std::byte> bytes) {
  const uint64_t end = begin + bytes.size();
  const auto first = std::partition_point(
      catalog_.checks.begin(), catalog_.checks.end(), [&](const StoredCheck& check) {
        return check.object != object ? check.object < object : check.range.end <= begin;
      });
  for (auto check = first;
       check != catalog_.checks.end() && check->object == object && check->range.begin < end;
       ++check) {
    State& state = states_[static_cast<size_t>(check - catalog_.checks.begin())];
    std::vector<ByteRange> claimed;
    {
      const std::lock_guard lock(mutex_);
      if (state.is_given_up) continue;
      claimed =
          Claim(state, {std::max(begin, check->range.begin), std::min(end, check->range.end)});
      if (state.parts.size() > kMostParts) {
        state.is_given_up = true;
        state.parts.clear();
        continue;
      }
    }
    for (const ByteRange& part : claimed) {
      const Crc32 crc = Crc32::Of(bytes.subspan(part.begin - begin, part.size()));
      const std::lock_guard lock(mutex_);
      Settle(state, part, crc);
    }
  }
}

Result<SourceChecks::Verdict> SourceChecks::Finish() const {
  Verdict verdict;
  for (size_t i = 0; i < states_.size(); ++i) {
    const StoredCheck& check = catalog_.checks[i];
    const std::map<uint64_t, Part>& parts = states_[i].parts;
    const bool is_whole = parts.size() == 1 && parts.begin()->second.is_done &&
                          parts.begin()->first == check.range.begin &&
                          parts.begin()->second.end == check.range.end;
    if (!is_whole && !check.range.empty()) {
      ++verdict.incomplete;
      continue;
    }
    const uint32_t found = is_whole ? parts.begin()->second.crc.value() : 0;
    if (found == check.crc32) {
      ++verdict.checked;
      continue;
    }
    return Fail({Code::kBadInput,
                 fmt::format("record {} has the CRC-32 {:08x}, the zip directory says {:08x}: its "
                             "bytes are damaged",
                             Excerpt(check.name), found, check.crc32),
                 {},
                 {{"byte", std::to_string(check.range.begin)},
                  {"file", PrintObject(catalog_, check.object)}},
                 "fetch the file again"});
  }
  return verdict;
}

}  // namespace ckpt
