#include <algorithm>
#include <utility>

#include "base/check.h"
#include "format/ocdbt/byte_reader.h"
#include "format/ocdbt/envelope.h"
#include "format/ocdbt/node.h"
#include "format/ocdbt/prefix.h"

namespace ckpt {
namespace {

using ocdbt::AppendVarint;

// The files that one node uses, in the order of its table.
class NodeFiles {
 public:
  explicit NodeFiles(std::span<const OcdbtFile> all) : all_(all) {}
  void Use(uint32_t file) { used_.push_back(file); }
  void Sort() {
    const auto before = [&](uint32_t a, uint32_t b) { return all_[a] < all_[b]; };
    std::sort(used_.begin(), used_.end());
    used_.erase(std::unique(used_.begin(), used_.end()), used_.end());
    std::sort(used_.begin(), used_.end(), before);
    for (size_t i = 0; i < used_.size(); ++i) places_.emplace_back(used_[i], i);
    std::sort(places_.begin(), places_.end());
  }
  void Append(std::string& out) const {
    std::vector<OcdbtFile> table;
    table.reserve(used_.size());
    for (const uint32_t file : used_) table.push_back(all_[file]);
    ocdbt::AppendFileTable(out, table);
  }
  uint64_t PlaceOf(uint32_t file) const {
    return std::lower_bound(places_.begin(), places_.end(), std::pair<uint32_t, uint64_t>(file, 0))
        ->second;
  }

 private:
  std::span<const OcdbtFile> all_;
  std::vector<uint32_t> used_;
  std::vector<std::pair<uint32_t, uint64_t>> places_;
};

template <class Item>
std::vector<uint64_t> SharedPrefixes(std::span<const Item> items, uint64_t prefix_bytes) {
  std::vector<uint64_t> shared(items.size(), 0);
  for (size_t i = 1; i < items.size(); ++i)
    shared[i] = ocdbt::CommonPrefix(items[i - 1].key.substr(prefix_bytes),
                                    items[i].key.substr(prefix_bytes));
  return shared;
}

template <class Item>
void AppendKeyLengths(std::string& out, std::span<const Item> items,
                      const std::vector<uint64_t>& shared, uint64_t prefix_bytes) {
  for (size_t i = 1; i < items.size(); ++i) AppendVarint(out, shared[i]);
  for (size_t i = 0; i < items.size(); ++i)
    AppendVarint(out, items[i].key.size() - prefix_bytes - shared[i]);
}

template <class Item>
void AppendKeyBytes(std::string& out, std::span<const Item> items,
                    const std::vector<uint64_t>& shared, uint64_t prefix_bytes) {
  for (size_t i = 0; i < items.size(); ++i) out += items[i].key.substr(prefix_bytes + shared[i]);
}

template <class Item, class Value>
void AppendColumn(std::string& out, std::span<const Item> items, const Value& value) {
  for (const Item& item : items) AppendVarint(out, value(item));
}

}  // namespace

std::string EncodeOcdbtLeaf(std::span<const OcdbtLeafItem> items, uint64_t prefix_bytes,
                            std::span<const OcdbtFile> files) {
  CKPT_CHECK(!items.empty() && items.size() <= kOcdbtMaxEntries);
  const auto range = [](const OcdbtLeafItem& item) { return std::get_if<OcdbtRange>(&item.value); };
  const auto text = [](const OcdbtLeafItem& item) {
    return std::get_if<std::string_view>(&item.value);
  };
  NodeFiles used(files);
  for (const OcdbtLeafItem& item : items) {
    if (const OcdbtRange* const at = range(item)) used.Use(at->file);
  }
  used.Sort();

  std::string body(1, '\0');  // height
  used.Append(body);
  AppendVarint(body, items.size());
  const std::vector<uint64_t> shared = SharedPrefixes(items, prefix_bytes);
  AppendKeyLengths(body, items, shared, prefix_bytes);
  AppendKeyBytes(body, items, shared, prefix_bytes);
  AppendColumn(body, items, [&](const OcdbtLeafItem& item) -> uint64_t {
    return range(item) != nullptr ? range(item)->length : text(item)->size();
  });
  for (const OcdbtLeafItem& item : items) body += static_cast<char>(range(item) != nullptr ? 1 : 0);
  for (const OcdbtLeafItem& item : items) {
    if (const OcdbtRange* const at = range(item)) AppendVarint(body, used.PlaceOf(at->file));
  }
  for (const OcdbtLeafItem& item : items) {
    if (const OcdbtRange* const at = range(item)) AppendVarint(body, at->offset);
  }
  for (const OcdbtLeafItem& item : items) {
    if (range(item) == nullptr) body += *text(item);
  }
  return ocdbt::Seal(ocdbt::kNodeMagic, body);
}

std::string EncodeOcdbtInterior(uint8_t height, std::span<const OcdbtChildItem> items,
                                uint64_t prefix_bytes, std::span<const OcdbtFile> files) {
  CKPT_CHECK(height > 0 && !items.empty() && items.size() <= kOcdbtMaxEntries);
  NodeFiles used(files);
  for (const OcdbtChildItem& item : items) used.Use(item.child.range.file);
  used.Sort();

  std::string body(1, static_cast<char>(height));
  used.Append(body);
  AppendVarint(body, items.size());
  const std::vector<uint64_t> shared = SharedPrefixes(items, prefix_bytes);
  using Item = OcdbtChildItem;
  const auto column = [&](const auto& value) { AppendColumn(body, items, value); };
  AppendKeyLengths(body, items, shared, prefix_bytes);
  column([&](const Item& item) { return item.child.prefix_bytes - prefix_bytes; });
  AppendKeyBytes(body, items, shared, prefix_bytes);
  column([&](const Item& item) { return used.PlaceOf(item.child.range.file); });
  column([](const Item& item) { return item.child.range.offset; });
  column([](const Item& item) { return item.child.range.length; });
  column([](const Item& item) { return item.child.statistics.keys; });
  column([](const Item& item) { return item.child.statistics.tree_bytes; });
  column([](const Item& item) { return item.child.statistics.indirect_bytes; });
  return ocdbt::Seal(ocdbt::kNodeMagic, body);
}

}  // namespace ckpt
