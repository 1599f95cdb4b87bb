// [[tensor]] -> Row: everything that one key of a row or cell shows by itself.
#include "model/row_toml.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/config.h"

namespace ckpt {
namespace {

/// "qkv.weight[0 : n of m]" -> name and selection.
std::pair<std::string_view, std::string_view> SplitSelection(std::string_view name) {
  const size_t open = name.rfind('[');
  if (!name.ends_with(']') || open == std::string_view::npos) return {name, {}};
  return {name.substr(0, open), name.substr(open + 1, name.size() - open - 2)};
}

/// "h d" -> two words.
std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

class CellReader {
 public:
  CellReader(Section& section, const FamilyTable& table, std::string scheme)
      : section_(section), table_(table) {
    cell_.scheme = std::move(scheme);
  }

  Cell Read() {
    const std::string full_name = section_.Text("name", true);
    const auto [name, selection] = SplitSelection(full_name);
    if (auto pattern = Pattern("name", name)) cell_.name = *std::move(pattern);
    if (section_.Has("const") || section_.Has("empty")) {
      ReadConstant();
    } else {
      ReadLayouts(selection);
      ReadRest();
    }
    section_.Finish();
    return std::move(cell_);
  }

 private:
  std::optional<NamePattern> Pattern(std::string_view key, std::string_view text) {
    Result<NamePattern> pattern = NamePattern::Parse(text);
    if (pattern) return *std::move(pattern);
    section_.Fault(key, pattern.error());
    return std::nullopt;
  }

  void ReadConstant() {
    cell_.constant = section_.Integer("const");
    cell_.empty_kind = section_.Text("empty");
    if (!section_.Has("const") && cell_.empty_kind.empty()) {
      section_.Fault("empty", "the kind of an empty node is expected", "write empty = \"Dict\"");
    }
    if (cell_.constant && !cell_.empty_kind.empty()) {
      section_.Fault("empty", "a cell is a constant or an empty node, not both");
    }
    if (cell_.constant) {
      const std::string name = section_.Text("dtype", true);
      const std::optional<DType> dtype = SafetensorsDType(name);
      if (!dtype || Info(*dtype).is_float || Info(*dtype).block_elements != 1) {
        section_.Fault("dtype", fmt::format("\"{}\" is no type of integers", name),
                       "write it as safetensors does: I64");
      } else {
        cell_.constant_type = *dtype;
      }
    }
    ParseLayouts(cell_.constant ? section_.Text("layout") : "", {});
    cell_.is_optional = true;  // nobody needs it
  }

  void ReadLayouts(std::string_view selection) {
    ParseLayouts(section_.Text("layout", true), selection);
    for (const Expr& slot : cell_.name.slots()) {
      const bool is_dim =
          std::any_of(table_.dims.begin(), table_.dims.end(),
                      [&](const DimRule& rule) { return rule.name == slot.text(); });
      if (!is_dim || slot.text() == "L") continue;
      if (!cell_.parts_axis.empty()) {
        section_.Fault("name", "only one axis can number the tensors of a role");
      }
      cell_.parts_axis = slot.text();
    }
    if (!section_.Has("resize")) return;
    Section resize = section_.Inner("resize");
    for (const std::string& axis : resize.Keys()) {
      const std::optional<Expr> extent = resize.Expression(axis);
      for (auto& [value, layout] : cell_.layouts) {
        if (!extent) break;
        const Result<void> resized = Resize(layout, axis, *extent);
        if (!resized) resize.Fault(axis, resized.error());
      }
    }
  }

  void ParseLayouts(const std::string& text, std::string_view selection) {
    for (const auto& [value, expanded] : ExpandChoice(text)) {
      if (Result<Layout> layout = ParseLayout(expanded, selection)) {
        cell_.layouts.emplace_back(value, *std::move(layout));
      } else {
        section_.Fault("layout", layout.error());
      }
    }
  }

  /// The texts that a layout stands for: one, or one per value of its choice.
  std::map<std::string, std::string> ExpandChoice(const std::string& layout) {
    const size_t open = layout.find('{');
    const size_t close = layout.find('}', std::min(open, layout.size()));
    if (open == std::string::npos || close == std::string::npos) return {{"", layout}};
    const std::string name = layout.substr(open + 1, close - open - 1);
    const auto found = table_.choices.find(name);
    if (found == table_.choices.end()) {
      section_.Fault("layout", fmt::format("there is no choice {}", name),
                     fmt::format("declare it under [choices.{}]", name));
      return {};
    }
    cell_.choice = name;
    std::map<std::string, std::string> texts;
    for (const auto& [value, terms] : found->second.values) {
      texts[value] = layout.substr(0, open) + terms + layout.substr(close + 1);
    }
    return texts;
  }

  void ReadRest() {
    if (section_.Has("shard_axis")) {
      const std::optional<int64_t> axis = section_.Integer("shard_axis");
      const size_t rank = cell_.layouts.empty() ? 0 : cell_.layouts[0].second.terms.size();
      if (!axis || *axis < 0 || static_cast<uint64_t>(*axis) >= rank) {
        section_.Fault("shard_axis", "an axis number of the tensor is expected");
      } else {
        cell_.shard_axis = static_cast<size_t>(*axis);
      }
    }
    cell_.quantize = section_.Text("quantize");
    cell_.reduce = Words(section_.Text("reduce"));
    cell_.when = section_.Expression("when");
    cell_.is_optional = section_.Bool("optional");
    if (section_.Has("value")) {
      Result<ValueExpr> value = ValueExpr::Parse(section_.Text("value"));
      if (value) {
        cell_.value = *std::move(value);
      } else {
        section_.Fault("value", value.error());
      }
    }
    if (section_.Has("unscanned")) {
      cell_.unscanned = Pattern("unscanned", section_.Text("unscanned"));
    }
  }

  Section& section_;
  const FamilyTable& table_;
  Cell cell_;
};

Tie ReadTie(Section section) {
  Tie tie;
  tie.role = section.Text("role", true);
  for (const std::string_view kind : kConfigKinds) {
    const TomlNode* const node = section.Take(kind, false);
    if (node == nullptr) continue;
    if (node->kind == TomlNode::Kind::kBool) {
      tie.by_config[std::string(kind)] = node->flag;
    } else {
      tie.by_config[std::string(kind)] = section.Text(kind);
    }
  }
  section.Finish();
  return tie;
}

}  // namespace

Row ReadRow(Section& section, const FamilyTable& table) {
  Row row;
  row.line = section.line();
  if (Result<NamePattern> role = NamePattern::Parse(section.Text("role", true))) {
    row.role = *std::move(role);
  } else {
    section.Fault("role", role.error());
  }
  row.together = section.Text("together");
  if (section.Has("tied")) row.tied = ReadTie(section.Inner("tied"));
  for (const std::string& key : section.Keys()) {
    if (!table.HasScheme(key)) continue;
    for (Section& cell : section.Tables(key, true)) {
      row.cells.push_back(CellReader(cell, table, key).Read());
    }
  }
  for (const std::string& scheme : table.schemes) section.Take(scheme, false);
  section.Finish();
  return row;
}

}  // namespace ckpt
