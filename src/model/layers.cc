#include "model/layers.h"

#include <fmt/format.h>

#include <optional>

namespace ckpt {
namespace {

constexpr uint64_t kMaxLayers = 10000;  // a configuration of more is damaged, not large

/// The gaps in `present` below `count`, which may be huge.
std::string Gaps(const std::set<uint64_t>& present, uint64_t count) {
  std::string text;
  uint64_t next = 0;
  const auto add_gap = [&](uint64_t end) {
    if (next == end) return;
    text += text.empty() ? "" : ", ";
    text += next + 1 == end ? fmt::format("{}", next) : fmt::format("{} to {}", next, end - 1);
  };
  for (const uint64_t l : present) {
    add_gap(l);
    next = l + 1;
  }
  add_gap(count);
  return text;
}

/// The layer numbers in the source's names; nothing where the scheme's names do not tell them
/// (stacked layers).
std::optional<std::set<uint64_t>> LayersPresent(const Family& family, const std::string& scheme,
                                                const Catalog& catalog) {
  std::set<uint64_t> layers;
  for (const Row& row : family.rows()) {
    if (!row.role.HasSlots()) continue;
    for (const Cell& cell : row.cells) {
      if (cell.scheme != scheme) continue;
      if (!cell.name.HasPlainLayer()) return std::nullopt;
      for (const TensorEntry& entry : catalog.tensors) {
        const auto match = cell.name.MatchName(entry.name);
        if (match && match->layer) layers.insert(*match->layer);
      }
    }
  }
  return layers;
}

}  // namespace

Result<std::set<uint64_t>> FindLayers(const Family& family, const std::string& scheme,
                                      const Dims& dims, const Catalog& catalog,
                                      const std::string& config_name, Account& account) {
  std::set<uint64_t> expected;
  const auto number = dims.find("L");
  if (number == dims.end()) return expected;
  const uint64_t count = number->second;
  const std::optional<std::set<uint64_t>> present = LayersPresent(family, scheme, catalog);
  if (!present) {
    if (count > kMaxLayers) {
      return Fail(Code::kBadInput, fmt::format("{} says {} layers", config_name, count),
                  "use the configuration that belongs to these weights");
    }
    for (uint64_t l = 0; l < count; ++l) expected.insert(expected.end(), l);
    return expected;
  }
  std::set<uint64_t> beyond;
  for (const uint64_t l : *present) (l < count ? expected : beyond).insert(l);
  if (!beyond.empty()) {
    account.AddSummary(fmt::format("{} says {} layers, the source also has layers {}", config_name,
                                   count, LayerRanges(beyond)));
  }
  if (expected.size() < count) {
    account.AddSummary(
        fmt::format("{} says {} layers, of layers {} the source has no tensor: files missing?",
                    config_name, count, Gaps(expected, count)));
  }
  return expected;
}

bool IsBeyondLayers(const Family& family, const std::string& scheme, const Dims& dims,
                    const std::string& name) {
  for (const Row& row : family.rows()) {
    for (const Cell& cell : row.cells) {
      if (cell.scheme != scheme) continue;
      const auto match = cell.name.MatchName(name);
      if (match && match->layer && *match->layer >= dims.at("L")) return true;
    }
  }
  return false;
}

}  // namespace ckpt
