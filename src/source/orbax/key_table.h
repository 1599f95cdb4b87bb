#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"

namespace ckpt {

/// Memory that grows with what a file turns out to hold: grants are taken in steps, before it is
/// allocated, and end with this. Never waits (see GrantNow).
class GrowingGrant {
 public:
  GrowingGrant(MemoryBudget& budget, std::string what) : budget_(budget), what_(std::move(what)) {}
  /// Before `bytes` more are allocated. kResources if the budget has no room for them.
  Result<void> Add(uint64_t bytes);

 private:
  MemoryBudget& budget_;
  const std::string what_;
  std::vector<Grant> grants_;
  uint64_t left_bytes_ = 0;
};

/// The keys of an Orbax item and where their values lie, in order of keys: those of its OCDBT
/// database, or the files of its folder.
class KeyTable {
 public:
  struct Entry {
    std::string_view key;
    StoredChunk place;  ///< object: kInlineChunk, or an index that the table's maker gave
    std::string_view inline_value;
  };
  static constexpr uint64_t kMostKeys = 1ULL << 22U;

  explicit KeyTable(MemoryBudget& budget) : grant_(budget, "the checkpoint's list of keys") {}

  /// The key is prefix + rest. Errors: kBadInput for a key that does not follow the one before, for
  /// more than kMostKeys; kResources.
  Result<void> AddInline(std::string_view prefix, std::string_view rest, std::string_view value);
  Result<void> AddStored(std::string_view prefix, std::string_view rest, const StoredChunk& place);

  size_t size() const { return entries_.size(); }
  const Entry& operator[](size_t i) const { return entries_[i]; }
  /// The first entry whose key is not less; size() if there is none.
  size_t LowerBound(std::string_view key) const;
  const Entry* Find(std::string_view key) const;

 private:
  Result<void> Add(std::string_view prefix, std::string_view rest, Entry entry);
  Result<std::string_view> Keep(std::string_view first, std::string_view second);

  GrowingGrant grant_;
  std::deque<Entry> entries_;       // not a vector: growing never holds two copies
  std::deque<std::string> blocks_;  // the texts, in blocks that never grow: views stay valid
};

}  // namespace ckpt
