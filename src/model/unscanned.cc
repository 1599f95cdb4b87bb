#include "model/unscanned.h"

#include <fmt/format.h>

#include <algorithm>

namespace ckpt {
namespace {

constexpr std::string_view kSuffix = "-unscanned";

bool HasUnscannedNames(const FamilyTable& table, const std::string& scheme) {
  for (const Row& row : table.rows) {
    for (const Cell& cell : row.cells) {
      if (cell.scheme == scheme && cell.unscanned) return true;
    }
  }
  return false;
}

Cell Unscan(const Cell& cell, const std::string& scheme) {
  Cell single = cell;
  single.scheme = scheme;
  if (cell.unscanned) single.name = *cell.unscanned;
  single.unscanned.reset();
  const std::optional<size_t> layers = cell.layouts[0].second.LayerTerm();
  if (cell.shard_axis && layers && *cell.shard_axis > *layers) {
    single.shard_axis = *cell.shard_axis - 1;  // the axes behind the one that goes move up
  }
  for (auto& [value, layout] : single.layouts) layout = layout.WithoutLayers();
  return single;
}

void AddCells(Row& row, const std::string& key, const std::string& base, const std::string& scheme,
              TableFaults& faults) {
  std::vector<Cell> added;
  for (const Cell& cell : row.cells) {
    if (cell.scheme != base) continue;
    if (cell.layouts[0].second.LayerTerm() && !cell.unscanned) {
      faults.Add(row.line, fmt::format("{}.{}.unscanned", key, base),
                 "this cell stacks layers but has no unscanned name, as others of its scheme have",
                 "add unscanned = \"NAME with {l}\"");
    }
    added.push_back(Unscan(cell, scheme));
  }
  row.cells.insert(row.cells.end(), added.begin(), added.end());
}

void ShareRules(std::vector<NameRule>& rules, const std::string& base, const std::string& scheme) {
  std::vector<NameRule> added;
  for (const NameRule& rule : rules) {
    if (rule.scheme == base) added.push_back({scheme, rule.name, rule.text});
  }
  rules.insert(rules.end(), added.begin(), added.end());
}

}  // namespace

void AddUnscanned(FamilyTable& table, TableFaults& faults) {
  const std::vector<std::string> bases = table.schemes;
  for (const std::string& base : bases) {
    if (!HasUnscannedNames(table, base)) continue;
    const std::string scheme = base + std::string(kSuffix);
    if (std::find(bases.begin(), bases.end(), scheme) != bases.end()) {
      faults.Add(1, "schemes", fmt::format("{} is the unscanned form of {}", scheme, base),
                 "give the scheme another name");
      continue;
    }
    table.unscanned_of[scheme] = base;
    table.schemes.insert(std::find(table.schemes.begin(), table.schemes.end(), base) + 1, scheme);
    for (size_t i = 0; i < table.rows.size(); ++i) {
      AddCells(table.rows[i], fmt::format("tensor[{}]", i), base, scheme, faults);
    }
    ShareRules(table.ignored, base, scheme);
    ShareRules(table.refused, base, scheme);
  }
}

}  // namespace ckpt
