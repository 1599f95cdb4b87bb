#include "source/orbax/key_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "source/reading.h"

namespace ckpt {
namespace {

constexpr uint64_t kGrantStepBytes = 4 * kMiB;
constexpr uint64_t kBlockBytes = kMiB;

}  // namespace

Result<void> GrowingGrant::Add(uint64_t bytes) {
  if (bytes > left_bytes_) {
    const uint64_t more = std::max(bytes - left_bytes_, kGrantStepBytes);
    // The last steps of a small budget may be smaller than a whole one.
    if (auto whole = budget_.TryAcquire(more)) {
      grants_.push_back(*std::move(whole));
      left_bytes_ += more;
    } else {
      CKPT_TRY(Grant exact, GrantNow(budget_, bytes - left_bytes_, what_));
      left_bytes_ += exact.bytes();
      grants_.push_back(std::move(exact));
    }
  }
  left_bytes_ -= bytes;
  return {};
}

Result<std::string_view> KeyTable::Keep(std::string_view first, std::string_view second) {
  const size_t size = first.size() + second.size();
  if (blocks_.empty() || size > blocks_.back().capacity() - blocks_.back().size()) {
    const uint64_t block_bytes = std::max<uint64_t>(size, kBlockBytes);
    CKPT_TRY_VOID(grant_.Add(block_bytes));
    blocks_.emplace_back().reserve(block_bytes);
  }
  std::string& block = blocks_.back();
  const size_t begin = block.size();
  block += first;
  block += second;
  return std::string_view(block).substr(begin);
}

Result<void> KeyTable::Add(std::string_view prefix, std::string_view rest, Entry entry) {
  if (entries_.size() == kMostKeys)
    return Fail(Code::kBadInput, fmt::format("more than {} keys", kMostKeys),
                "the checkpoint is damaged, or far larger than any known");
  CKPT_TRY_VOID(grant_.Add(sizeof(Entry)));
  CKPT_TRY(entry.key, Keep(prefix, rest));
  if (!entries_.empty() && entry.key <= entries_.back().key)
    return Fail(
        Error{Code::kBadInput,
              fmt::format("keys are not in order: follows \"{}\"", Excerpt(entries_.back().key)),
              {},
              {{"key", Excerpt(entry.key)}},
              "the checkpoint is damaged: fetch it again"});
  entries_.push_back(entry);
  return {};
}

Result<void> KeyTable::AddInline(std::string_view prefix, std::string_view rest,
                                 std::string_view value) {
  CKPT_TRY(const std::string_view kept, Keep(value, {}));
  return Add(prefix, rest, {{}, {kInlineChunk, 0, value.size()}, kept});
}

Result<void> KeyTable::AddStored(std::string_view prefix, std::string_view rest,
                                 const StoredChunk& place) {
  return Add(prefix, rest, {{}, place, {}});
}

size_t KeyTable::LowerBound(std::string_view key) const {
  const auto at = std::lower_bound(
      entries_.begin(), entries_.end(), key,
      [](const Entry& entry, std::string_view wanted) { return entry.key < wanted; });
  return static_cast<size_t>(at - entries_.begin());
}

const KeyTable::Entry* KeyTable::Find(std::string_view key) const {
  const size_t at = LowerBound(key);
  return at < entries_.size() && entries_[at].key == key ? &entries_[at] : nullptr;
}

}  // namespace ckpt
