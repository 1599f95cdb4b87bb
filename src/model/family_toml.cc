// TOML -> FamilyTable: everything that one key shows by itself. What keys owe each other is in
// family_rules.cc.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "base/text.h"
#include "model/family.h"
#include "model/family_rules.h"
#include "model/faults.h"

// No exceptions: a syntax error comes back as a value.
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace ckpt {
namespace {

uint32_t LineOf(const toml::node& node) { return static_cast<uint32_t>(node.source().begin.line); }

/// One table of the file, read key by key; keys that nobody asked for are faults.
class Section {
 public:
  Section(const toml::table& table, std::string path, Faults& faults)
      : table_(table), path_(std::move(path)), faults_(faults) {}

  uint32_t line() const { return LineOf(table_); }
  const std::string& path() const { return path_; }
  Faults& faults() const { return faults_; }
  std::string Key(std::string_view key) const {
    return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  }
  bool Has(std::string_view key) const { return table_.contains(key); }
  uint32_t LineOfKey(std::string_view key) const {
    const toml::node* const node = table_.get(key);
    return node == nullptr ? line() : LineOf(*node);
  }
  void Fault(std::string_view key, std::string what, std::string remedy = {}) const {
    faults_.Add(LineOfKey(key), Key(key), std::move(what), std::move(remedy));
  }
  void Fault(std::string_view key, const Error& error) const {
    faults_.Add(LineOfKey(key), Key(key), error);
  }

  std::string Text(std::string_view key, bool is_required = false) {
    const toml::node* const node = Take(key, is_required);
    if (node == nullptr) return {};
    const std::optional<std::string> text = node->value_exact<std::string>();
    if (!text) Fault(key, "a text is expected");
    return text.value_or("");
  }
  bool Bool(std::string_view key) {
    const toml::node* const node = Take(key, false);
    if (node == nullptr) return false;
    const std::optional<bool> value = node->value_exact<bool>();
    if (!value) Fault(key, "true or false is expected");
    return value.value_or(false);
  }
  /// One text, or a list of them.
  std::vector<std::string> Texts(std::string_view key, bool is_required = false) {
    const toml::node* const node = Take(key, is_required);
    if (node == nullptr) return {};
    if (const auto text = node->value_exact<std::string>()) return {*text};
    std::vector<std::string> texts;
    if (const toml::array* const list = node->as_array()) {
      for (const toml::node& element : *list) {
        if (const auto text = element.value_exact<std::string>()) texts.push_back(*text);
      }
      if (texts.size() == list->size() && !texts.empty()) return texts;
    }
    Fault(key, "a text, or a list of texts, is expected");
    return {};
  }
  std::optional<Expr> Expression(std::string_view key) {
    if (!Has(key)) return std::nullopt;
    const std::string text = Text(key);
    Result<Expr> expr = Expr::Parse(text);
    if (expr) return *std::move(expr);
    Fault(key, expr.error());
    return std::nullopt;
  }
  /// The table under `key`; an empty one, with a fault, where something else stands there.
  Section Inner(std::string_view key, bool is_required = false) {
    static const toml::table empty;
    const toml::node* const node = Take(key, is_required);
    const toml::table* const inner = node == nullptr ? &empty : node->as_table();
    if (inner == nullptr) Fault(key, "a table is expected");
    return {inner == nullptr ? empty : *inner, Key(key), faults_};
  }
  /// The tables of an array of tables (or a single one where `or_single`).
  std::vector<Section> Tables(std::string_view key, bool or_single = false) {
    std::vector<Section> tables;
    const toml::node* const node = Take(key, false);
    if (node == nullptr) return tables;
    if (const toml::table* const single = node->as_table(); single != nullptr && or_single) {
      tables.emplace_back(*single, Key(key), faults_);
      return tables;
    }
    const toml::array* const list = node->as_array();
    if (list == nullptr || list->empty() || !list->is_homogeneous<toml::table>()) {
      Fault(key, or_single ? "a table, or a list of tables, is expected"
                           : "a list of tables is expected");
      return tables;
    }
    for (size_t i = 0; i < list->size(); ++i) {
      tables.emplace_back(*list->get(i)->as_table(), fmt::format("{}[{}]", Key(key), i), faults_);
    }
    return tables;
  }
  const toml::node* Take(std::string_view key, bool is_required) {
    asked_.insert(std::string(key));
    const toml::node* const node = table_.get(key);
    if (node == nullptr && is_required) {
      faults_.Add(line(), Key(key), "this key is missing");
    }
    return node;
  }
  /// All keys in the order of the file.
  std::vector<std::string> Keys() const {
    std::vector<std::pair<toml::source_position, std::string>> keys;
    for (const auto& [key, node] : table_) {
      keys.emplace_back(key.source().begin, std::string(key.str()));
    }
    std::sort(keys.begin(), keys.end());
    std::vector<std::string> names;
    names.reserve(keys.size());
    for (auto& [position, name] : keys) names.push_back(std::move(name));
    return names;
  }
  /// Last call: keys that were never asked for.
  void Finish() const {
    const std::vector<std::string> known(asked_.begin(), asked_.end());
    for (const std::string& key : Keys()) {
      if (asked_.contains(key)) continue;
      const std::string near = Nearest(key, known);
      Fault(key, "unknown key",
            near.empty() ? "keys here: " + ListSome(known, 20)
                         : fmt::format("did you mean {}?", near));
    }
  }

 private:
  const toml::table& table_;
  std::string path_;
  Faults& faults_;
  std::set<std::string> asked_;
};

/// Keys of a configuration, by its kind, from what remains of a section.
std::map<std::string, std::vector<std::string>> KeysByKind(Section& section) {
  std::map<std::string, std::vector<std::string>> keys;
  for (const std::string kind : {"hf", "meta", "gguf"}) {
    if (section.Has(kind)) keys[kind] = section.Texts(kind);
  }
  return keys;
}

DimRule ReadDim(Section& dims, const std::string& name) {
  DimRule rule;
  rule.name = name;
  const toml::node* const node = dims.Take(name, true);
  if (const std::optional<int64_t> constant = node->value_exact<int64_t>()) {
    if (*constant < 1) dims.Fault(name, "a dimension is at least 1");
    rule.constant = static_cast<uint64_t>(std::max<int64_t>(1, *constant));
    return rule;
  }
  Section section = dims.Inner(name);
  rule.expr = section.Expression("expr");
  rule.keys = KeysByKind(section);
  rule.shape = section.Text("shape");
  rule.fallback = section.Expression("default");
  section.Finish();
  if (rule.expr && (!rule.keys.empty() || rule.fallback || !rule.shape.empty())) {
    dims.Fault(name, "expr stands alone", "use default for a value that keys may override");
  }
  return rule;
}

std::map<std::string, std::string> ReadTexts(Section section) {
  std::map<std::string, std::string> texts;
  for (const std::string& key : section.Keys()) texts[key] = section.Text(key);
  return texts;
}

FactRule ReadFact(Section section, const std::string& name) {
  FactRule rule;
  rule.name = name;
  rule.keys = KeysByKind(section);
  rule.values = ReadTexts(section.Inner("values"));
  rule.tensors = ReadTexts(section.Inner("tensors"));
  rule.fallback = section.Text("default", true);
  section.Finish();
  return rule;
}

/// "qkv.weight[0 : n of m]" -> name and selection.
std::pair<std::string_view, std::string_view> SplitSelection(std::string_view name) {
  const size_t open = name.rfind('[');
  if (!name.ends_with(']') || open == std::string_view::npos) return {name, {}};
  return {name.substr(0, open), name.substr(open + 1, name.size() - open - 2)};
}

/// The layout texts that a cell's layout stands for: one, or one per value of its choice.
std::map<std::string, std::string> ExpandChoice(Section& section, const FamilyTable& table,
                                                const std::string& layout, std::string& choice) {
  const size_t open = layout.find('{');
  const size_t close = layout.find('}', std::min(open, layout.size()));
  if (open == std::string::npos || close == std::string::npos) return {{"", layout}};
  const std::string name = layout.substr(open + 1, close - open - 1);
  const auto found = table.choices.find(name);
  if (found == table.choices.end()) {
    section.Fault("layout", fmt::format("there is no choice {}", name),
                  fmt::format("declare it under [choices.{}]", name));
    return {};
  }
  choice = name;
  std::map<std::string, std::string> texts;
  for (const auto& [value, terms] : found->second.values) {
    texts[value] = layout.substr(0, open) + terms + layout.substr(close + 1);
  }
  return texts;
}

Cell ReadCell(Section& section, const FamilyTable& table, const std::string& scheme) {
  Cell cell;
  cell.scheme = scheme;
  const std::string full_name = section.Text("name", true);
  const auto [name, selection] = SplitSelection(full_name);
  if (Result<NamePattern> pattern = NamePattern::Parse(name)) {
    cell.name = *std::move(pattern);
  } else {
    section.Fault("name", pattern.error());
  }
  const std::string layout_text = section.Text("layout", true);
  for (const auto& [value, text] : ExpandChoice(section, table, layout_text, cell.choice)) {
    if (Result<Layout> layout = ParseLayout(text, selection)) {
      cell.layouts.emplace_back(value, *std::move(layout));
    } else {
      section.Fault("layout", layout.error());
    }
  }
  if (const toml::node* const node = section.Take("shard_axis", false)) {
    const std::optional<int64_t> axis = node->value_exact<int64_t>();
    const size_t rank = cell.layouts.empty() ? 0 : cell.layouts[0].second.terms.size();
    if (!axis || *axis < 0 || static_cast<uint64_t>(*axis) >= rank) {
      section.Fault("shard_axis", "an axis number of the tensor is expected");
    } else {
      cell.shard_axis = static_cast<size_t>(*axis);
    }
  }
  cell.quantize = section.Text("quantize");
  cell.when = section.Expression("when");
  cell.is_optional = section.Bool("optional");
  section.Finish();
  return cell;
}

Tie ReadTie(Section section) {
  Tie tie;
  tie.role = section.Text("role", true);
  for (const std::string kind : {"hf", "meta", "gguf"}) {
    const toml::node* const node = section.Take(kind, false);
    if (node == nullptr) continue;
    if (const auto is_tied = node->value_exact<bool>()) {
      tie.by_config[kind] = *is_tied;
    } else {
      tie.by_config[kind] = section.Text(kind);
    }
  }
  section.Finish();
  return tie;
}

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
  std::vector<std::string> keys = section.Keys();
  for (const std::string& key : keys) {
    if (std::find(table.schemes.begin(), table.schemes.end(), key) == table.schemes.end()) continue;
    for (Section& cell : section.Tables(key, true)) {
      row.cells.push_back(ReadCell(cell, table, key));
    }
  }
  for (const std::string& scheme : table.schemes) section.Take(scheme, false);
  section.Finish();
  return row;
}

std::vector<NameRule> ReadRules(Section& file, std::string_view key, std::string_view text_key) {
  std::vector<NameRule> rules;
  for (Section& section : file.Tables(key)) {
    rules.push_back(
        {section.Text("scheme", true), section.Text("name", true), section.Text(text_key, true)});
    section.Finish();
  }
  return rules;
}

FamilyTable ReadTable(const toml::table& root, const std::string& path, Faults& faults) {
  Section file(root, "", faults);
  FamilyTable table;
  table.file = path;
  table.name = file.Text("family", true);
  table.description = file.Text("description");
  table.schemes = file.Texts("schemes", true);
  Section detect = file.Inner("detect");
  for (const std::string& kind : detect.Keys()) {
    Section keys = detect.Inner(kind);
    for (const std::string& key : keys.Keys()) table.detect[kind].push_back({key, keys.Texts(key)});
  }
  Section dims = file.Inner("dims", true);
  for (const std::string& name : dims.Keys()) table.dims.push_back(ReadDim(dims, name));
  Section facts = file.Inner("facts");
  for (const std::string& name : facts.Keys()) {
    table.facts.push_back(ReadFact(facts.Inner(name), name));
  }
  Section choices = file.Inner("choices");
  for (const std::string& name : choices.Keys()) {
    Section choice = choices.Inner(name);
    table.choices[name] = {choice.Text("default", true), ReadTexts(choice.Inner("values", true))};
    choice.Finish();
  }
  for (Section& section : file.Tables("tensor")) table.rows.push_back(ReadRow(section, table));
  if (table.rows.empty()) faults.Add(1, "tensor", "a family has at least one tensor");
  table.ignored = ReadRules(file, "ignore", "reason");
  table.refused = ReadRules(file, "refuse", "message");
  file.Finish();
  return table;
}

}  // namespace

Result<std::shared_ptr<const Family>> Family::Parse(std::string_view text,
                                                    const std::string& file) {
  Faults faults;
  const toml::parse_result parsed = toml::parse(text, file);
  if (!parsed) {
    faults.Add(static_cast<uint32_t>(parsed.error().source().begin.line), "(syntax)",
               std::string(parsed.error().description()), "this is not TOML 1.0");
    return Fail(faults.AsError(file));
  }
  FamilyTable table = ReadTable(parsed.table(), file, faults);
  if (faults.empty()) ApplyRules(table, faults);  // half a table breaks promises of its own making
  if (!faults.empty()) return Fail(faults.AsError(file));
  // The constructor is private, so make_shared cannot reach it.
  return std::shared_ptr<const Family>(std::make_unique<Family>(Family(std::move(table))));
}

}  // namespace ckpt
