// TOML -> FamilyTable: everything that one key shows by itself (rows: row_toml.cc). What keys owe
// each other is in family_rules.cc.
#include <fmt/format.h>

#include <algorithm>

#include "model/config.h"
#include "model/family.h"
#include "model/family_rules.h"
#include "model/faults.h"
#include "model/row_toml.h"
#include "model/section.h"

namespace ckpt {
namespace {

/// Keys of a configuration, by its kind, from what remains of a section.
std::map<std::string, std::vector<std::string>> KeysByKind(Section& section) {
  std::map<std::string, std::vector<std::string>> keys;
  for (const std::string_view kind : kConfigKinds) {
    if (section.Has(kind)) keys[std::string(kind)] = section.Texts(kind);
  }
  return keys;
}

/// A text for all, under "", or a table of texts by scheme.
std::map<std::string, std::string> ByScheme(Section& section, std::string_view key) {
  const TomlNode* const node = section.Take(key, false);
  if (node == nullptr) return {};
  if (node->kind != TomlNode::Kind::kTable) return {{"", section.Text(key)}};
  std::map<std::string, std::string> texts = section.Inner(key).AllTexts();
  if (const auto fallback = texts.extract("default")) texts[""] = fallback.mapped();
  return texts;
}

/// A dimension written as a number.
uint64_t Positive(Section& section, const std::string& key) {
  const std::optional<int64_t> number = section.Integer(key);
  if (number && *number < 1) section.Fault(key, "a dimension is at least 1");
  return static_cast<uint64_t>(std::max<int64_t>(1, number.value_or(1)));
}

DimRule ReadDim(Section& dims, const std::string& name) {
  DimRule rule;
  rule.name = name;
  if (dims.Take(name, true)->kind == TomlNode::Kind::kInteger) {
    rule.constant = Positive(dims, name);
    return rule;
  }
  Section section = dims.Inner(name);
  rule.expr = section.Expression("expr");
  rule.keys = KeysByKind(section);
  rule.shape = ByScheme(section, "shape");
  rule.served = section.Text("served");
  rule.fallback = section.Expression("default");
  section.Finish();
  const bool is_read = !rule.keys.empty() || rule.fallback || !rule.shape.empty();
  if (rule.expr && (is_read || !rule.served.empty())) {
    dims.Fault(name, "expr stands alone", "use default for a value that keys may override");
  } else if (!rule.served.empty() && is_read) {
    dims.Fault(name, "served stands alone", "name the dimension that the source tells");
  }
  return rule;
}

FactRule ReadFact(Section section, const std::string& name) {
  FactRule rule;
  rule.name = name;
  rule.keys = KeysByKind(section);
  rule.values = section.Inner("values").AllTexts();
  rule.tensors = section.Inner("tensors").AllTexts();
  rule.fallback = section.Text("default", true);
  section.Finish();
  return rule;
}

Choice ReadChoice(Section section) {
  Choice choice;
  choice.fallback = section.Text("default", true);
  choice.values = section.Inner("values", true).AllTexts();
  for (const auto& [value, terms] : choice.values) {
    const Result<Layout> layout = ParseLayout(terms);
    std::vector<std::string> axes = layout ? layout->Axes() : std::vector<std::string>();
    std::sort(axes.begin(), axes.end());
    if (choice.axes.empty()) choice.axes = axes;
    if (!layout) section.Fault("values", layout.error());
    if (axes != choice.axes) section.Fault("values", "all values use the same axes");
  }
  choice.axis = section.Text("axis");
  choice.says = section.Inner("says").AllTexts();
  Section flags = section.Inner("server_flags");
  for (const std::string& value : flags.Keys()) {
    Section flag = flags.Inner(value);
    choice.server_flags[value] = {flag.Text("flag", true), flag.Text("implied_by")};
    flag.Finish();
  }
  Section facts = section.Inner("facts");
  for (const std::string& fact : facts.Keys()) choice.facts[fact] = facts.Inner(fact).AllTexts();
  section.Finish();
  return choice;
}

ServedModel ReadServed(Section section, const std::string& name) {
  ServedModel model;
  model.name = name;
  model.line = section.line();
  Section dims = section.Inner("dims", true);
  for (const std::string& dim : dims.Keys()) model.dims[dim] = Positive(dims, dim);
  model.facts = section.Inner("facts").AllTexts();
  model.cut = section.Texts("cut");
  model.resized = section.Texts("resized");
  Section choices = section.Inner("choices");
  for (const std::string& choice : choices.Keys()) {
    model.choices[choice] = ByScheme(choices, choice);
  }
  model.note = section.Text("note");
  section.Finish();
  return model;
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

std::optional<ContractRules> ReadContract(Section& file) {
  if (!file.Has("contract")) return std::nullopt;
  Section section = file.Inner("contract");
  ContractRules rules;
  rules.title = section.Text("title", true);
  rules.is_from_kaggle = section.Bool("from_kaggle");
  rules.is_assumed = section.Bool("assumed");
  rules.has_params = section.Bool("has_params");
  Section names = section.Inner("names", true);
  for (const std::string& key : names.Keys()) {
    Section name = names.Inner(key);
    rules.names.push_back(
        {key, name.Text("prefix", true), name.Texts("sizes"), name.Text("meta_unless")});
    name.Finish();
  }
  section.Finish();
  return rules;
}

FamilyTable ReadTable(const TomlNode& root, const std::string& path, TableFaults& faults) {
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
    table.choices[name] = ReadChoice(choices.Inner(name));
  }
  Section models = file.Inner("models");
  for (const std::string& name : models.Keys()) {
    table.served.push_back(ReadServed(models.Inner(name), name));
  }
  for (Section& section : file.Tables("tensor")) table.rows.push_back(ReadRow(section, table));
  if (table.rows.empty()) faults.Add(1, "tensor", "a family has at least one tensor");
  table.ignored = ReadRules(file, "ignore", "reason");
  table.refused = ReadRules(file, "refuse", "message");
  table.unserved = ReadRules(file, "unserved", "reason");
  table.contract = ReadContract(file);
  file.Finish();
  return table;
}

}  // namespace

Result<std::shared_ptr<const Family>> Family::Parse(std::string_view text,
                                                    const std::string& file) {
  TableFaults faults;
  const TomlNode root = ParseToml(text, file, faults);
  if (!faults.empty()) return Fail(faults.AsError(file));
  FamilyTable table = ReadTable(root, file, faults);
  if (faults.empty()) ApplyRules(table, faults);  // half a table breaks promises of its own making
  if (!faults.empty()) return Fail(faults.AsError(file));
  // The constructor is private, so make_shared cannot reach it.
  return std::shared_ptr<const Family>(std::make_unique<Family>(Family(std::move(table))));
}

}  // namespace ckpt
