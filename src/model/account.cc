#include "model/account.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace ckpt {
namespace {
constexpr size_t kMaxLines = 20;
constexpr size_t kMaxRanges = 6;
}  // namespace

std::string LayerRanges(const std::set<uint64_t>& layers) {
  std::string text;
  size_t ranges = 0;
  for (auto at = layers.begin(); at != layers.end();) {
    if (ranges++ == kMaxRanges) return text + ", ...";
    const uint64_t first = *at;
    uint64_t last = first;
    for (++at; at != layers.end() && *at == last + 1; ++at) last = *at;
    text += text.empty() ? "" : ", ";
    text += first == last ? fmt::format("{}", first) : fmt::format("{} to {}", first, last);
  }
  return text;
}

void Account::Add(const std::string& name, const std::string& pattern,
                  std::optional<uint64_t> layer, const std::string& what) {
  const auto [found, is_new] = index_.emplace(std::pair(pattern, what), groups_.size());
  if (is_new) groups_.push_back({pattern, what, name, {}});
  if (layer) groups_[found->second].layers.insert(*layer);
}

std::vector<std::string> Account::Lines() const {
  std::vector<std::string> lines = summary_;
  for (const Group& group : groups_) {
    if (group.layers.size() < 2) {
      lines.push_back(fmt::format("{}: {}", Printable(group.first_name), group.what));
    } else {
      lines.push_back(fmt::format("{} (l = {}): {}", Printable(group.pattern),
                                  LayerRanges(group.layers), group.what));
    }
  }
  if (lines.size() > kMaxLines) {
    const size_t more = lines.size() - kMaxLines;
    lines.resize(kMaxLines);
    lines.push_back(fmt::format("and {} more", more));
  }
  return lines;
}

}  // namespace ckpt
