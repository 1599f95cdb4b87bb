#include "format/ocdbt/tree_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "format/ocdbt/prefix.h"

namespace ckpt {
namespace {

// What an entry costs in memory once decoded, as the writer of the format estimates it.
constexpr uint64_t kInlineCost = 16;
constexpr uint64_t kRangeCost = 32;
constexpr uint64_t kChildCost = 96;

tl::unexpected<Error> Refuse(std::string_view key, std::string what) {
  return Fail(Error{Code::kInternal,
                    std::move(what),
                    {},
                    {{"key", Excerpt(key)}},
                    "a mistake of this program: report it"});
}

}  // namespace

// A node that was written, as its parent will name it.
struct OcdbtTreeBuilder::Child {
  std::string key;  // its first, in full
  OcdbtChild value;
};

// One level of interior nodes. A group stays open until the next has two children, so that the last
// group never has a single one.
struct OcdbtTreeBuilder::Level {
  std::vector<Child> closed;
  std::vector<Child> open;
  uint64_t open_cost = 0;
};

OcdbtTreeBuilder::OcdbtTreeBuilder(std::vector<std::string> data_files, std::string node_file,
                                   OcdbtConfig config, Append append)
    : config_(config), append_(std::move(append)) {
  files_.reserve(data_files.size() + 1);
  for (std::string& path : data_files) files_.push_back({"", std::move(path)});
  files_.push_back({"", std::move(node_file)});
}

OcdbtTreeBuilder::~OcdbtTreeBuilder() = default;

uint64_t OcdbtTreeBuilder::LeafCost(const OcdbtEntry& entry) const {
  if (const auto* text = std::get_if<std::string>(&entry.value))
    return kInlineCost + entry.key.size() + text->size();
  return kRangeCost + entry.key.size() +
         files_[std::get<OcdbtRange>(entry.value).file].relative.size();
}

Result<void> OcdbtTreeBuilder::Add(OcdbtEntry entry) {
  if (!leaf_.empty() && entry.key <= leaf_.back().key)
    return Refuse(entry.key, fmt::format("follows the key \"{}\"", Excerpt(leaf_.back().key)));
  if (entry.key.size() > kOcdbtMaxKeyBytes)
    return Refuse(entry.key, fmt::format("a key of {} bytes, at most {} can be stored",
                                         entry.key.size(), kOcdbtMaxKeyBytes));
  if (const auto* text = std::get_if<std::string>(&entry.value);
      text != nullptr && text->size() > kOcdbtMaxInlineBytes)
    return Refuse(entry.key, fmt::format("an inline value of {} bytes, at most {} can be stored",
                                         text->size(), kOcdbtMaxInlineBytes));
  if (const auto* range = std::get_if<OcdbtRange>(&entry.value);
      range != nullptr && (range->file >= files_.size() - 1 || range->offset > INT64_MAX ||
                           range->length > INT64_MAX - range->offset))
    return Refuse(entry.key,
                  fmt::format("a value of {} bytes at byte {} of data file {} of {}", range->length,
                              range->offset, range->file, files_.size() - 1));
  const uint64_t cost = LeafCost(entry);
  if (!leaf_.empty() &&
      (leaf_cost_ + cost > config_.max_decoded_node_bytes || leaf_.size() == kOcdbtMaxEntries)) {
    CKPT_TRY(Child leaf, WriteLeaf(false));
    CKPT_TRY_VOID(AddChild(0, std::move(leaf)));
  }
  leaf_cost_ += cost;
  leaf_.push_back(std::move(entry));
  return {};
}

Result<OcdbtRange> OcdbtTreeBuilder::Write(const std::string& node) {
  CKPT_TRY_VOID(append_(std::as_bytes(std::span(node))));
  const OcdbtRange range{static_cast<uint32_t>(files_.size() - 1), written_bytes_, node.size()};
  written_bytes_ += node.size();
  return range;
}

Result<OcdbtTreeBuilder::Child> OcdbtTreeBuilder::WriteLeaf(bool is_root) {
  Child child;
  child.key = leaf_.front().key;
  child.value.prefix_bytes = is_root ? 0 : ocdbt::CommonPrefix(leaf_.front().key, leaf_.back().key);
  child.value.statistics.keys = leaf_.size();
  std::vector<OcdbtLeafItem> items;
  items.reserve(leaf_.size());
  for (const OcdbtEntry& entry : leaf_) {
    if (const auto* range = std::get_if<OcdbtRange>(&entry.value)) {
      items.push_back({entry.key, *range});
      child.value.statistics.indirect_bytes += range->length;
    } else {
      items.push_back({entry.key, std::string_view(std::get<std::string>(entry.value))});
    }
  }
  const std::string node = EncodeOcdbtLeaf(items, child.value.prefix_bytes, files_);
  CKPT_TRY(child.value.range, Write(node));
  child.value.statistics.tree_bytes = node.size();
  leaf_.clear();
  leaf_cost_ = 0;
  return child;
}

Result<OcdbtTreeBuilder::Child> OcdbtTreeBuilder::WriteGroup(size_t level,
                                                             const std::vector<Child>& group,
                                                             bool is_root) {
  CKPT_CHECK(group.size() >= 2);
  Child parent;
  parent.key = group.front().key;
  if (!is_root)
    parent.value.prefix_bytes = ocdbt::CommonPrefix(group.front().key, group.back().key);
  std::vector<OcdbtChildItem> items;
  items.reserve(group.size());
  OcdbtStatistics& sums = parent.value.statistics;
  for (const Child& child : group) {
    parent.value.prefix_bytes = std::min(parent.value.prefix_bytes, child.value.prefix_bytes);
    items.push_back({child.key, child.value});
    sums.keys += child.value.statistics.keys;
    sums.tree_bytes += child.value.statistics.tree_bytes;
    sums.indirect_bytes += child.value.statistics.indirect_bytes;
  }
  const std::string node = EncodeOcdbtInterior(static_cast<uint8_t>(level + 1), items,
                                               parent.value.prefix_bytes, files_);
  CKPT_TRY(parent.value.range, Write(node));
  sums.tree_bytes += node.size();
  return parent;
}

Result<void> OcdbtTreeBuilder::AddChild(size_t level, Child child) {
  if (levels_.size() == level) levels_.emplace_back();
  const uint64_t cost = kChildCost + child.key.size();
  if (levels_[level].open.size() >= 2 &&
      levels_[level].open_cost + cost > config_.max_decoded_node_bytes) {
    CKPT_CHECK(levels_[level].closed.empty());
    levels_[level].closed = std::exchange(levels_[level].open, {});
    levels_[level].open_cost = 0;
  }
  levels_[level].open_cost += cost;
  levels_[level].open.push_back(std::move(child));
  if (levels_[level].closed.empty() || levels_[level].open.size() < 2) return {};
  const std::vector<Child> group = std::exchange(levels_[level].closed, {});
  CKPT_TRY(Child parent, WriteGroup(level, group, false));
  return AddChild(level + 1, std::move(parent));  // levels_ may have grown: no reference was kept
}

Result<std::string> OcdbtTreeBuilder::Finish() {
  if (leaf_.empty()) return EncodeOcdbtManifest(config_, OcdbtVersion());
  CKPT_TRY(Child top, WriteLeaf(levels_.empty()));
  for (size_t level = 0; level < levels_.size(); ++level) {
    CKPT_TRY_VOID(AddChild(level, std::move(top)));
    std::vector<Child> closed = std::exchange(levels_[level].closed, {});
    std::vector<Child> open = std::exchange(levels_[level].open, {});
    if (!closed.empty()) {  // then the open group has one child
      if (closed.size() > 2) {
        open.insert(open.begin(), std::move(closed.back()));
        closed.pop_back();
        CKPT_TRY(Child parent, WriteGroup(level, closed, false));
        CKPT_TRY_VOID(AddChild(level + 1, std::move(parent)));
      } else {
        open.insert(open.begin(), std::make_move_iterator(closed.begin()),
                    std::make_move_iterator(closed.end()));
      }
    }
    CKPT_TRY(top, WriteGroup(level, open, level + 1 == levels_.size()));
  }
  OcdbtVersion version;
  version.root_height = static_cast<uint8_t>(levels_.size());
  version.file = files_.back();
  version.offset = top.value.range.offset;
  version.length = top.value.range.length;
  version.statistics = top.value.statistics;
  return EncodeOcdbtManifest(config_, version);
}

}  // namespace ckpt
