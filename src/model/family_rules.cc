#include "model/family_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "model/row_rules.h"
#include "model/unscanned.h"

namespace ckpt {
namespace {

constexpr size_t kMostNames = 20;  // in a message

class Rules {
 public:
  Rules(FamilyTable& table, TableFaults& faults) : table_(table), faults_(faults) {
    for (const DimRule& rule : table.dims) dim_names_.insert(rule.name);
  }

  void Run() {
    CheckNames();
    OrderDims();
    for (size_t i = 0; i < table_.rows.size(); ++i) CheckOneRow(i);
    for (size_t i = 0; i < table_.rows.size(); ++i) CheckTie(i);
    for (const DimRule& rule : table_.dims) CheckShapeRoles(rule);
    for (const auto& [name, choice] : table_.choices) CheckChoice(name, choice);
    for (const ServedModel& model : table_.served) CheckServed(model);
    CheckNameRules(table_.ignored, "ignore");
    CheckNameRules(table_.refused, "refuse");
    AddUnscanned(table_, faults_);
    CheckClaims();
  }

 private:
  static std::string RowKey(size_t row) { return fmt::format("tensor[{}]", row); }

  void CheckNames() {
    if (table_.name.empty()) faults_.Add(1, "family", "a family has a name");
    std::set<std::string> seen;
    for (const std::string& scheme : table_.schemes) {
      if (!seen.insert(scheme).second) {
        faults_.Add(1, "schemes", fmt::format("{} is named twice", scheme));
      }
    }
    if (dim_names_.contains("l")) {
      faults_.Add(1, "dims.l", "l is the layer's number", "call the number of layers L");
    }
  }

  void CheckExpr(const Expr& expr, const std::string& key) {
    CheckDimNames(expr.text(), expr.Names(), dim_names_, false, {1, key, {}, {}}, faults_);
  }

  void OrderDims() {
    std::vector<DimRule> ordered;
    std::set<std::string> known;
    std::vector<DimRule> waiting = std::move(table_.dims);
    const auto needs = [](const DimRule& rule) {
      std::vector<std::string> names = rule.expr ? rule.expr->Names() : std::vector<std::string>();
      const auto more = rule.fallback ? rule.fallback->Names() : std::vector<std::string>();
      names.insert(names.end(), more.begin(), more.end());
      if (!rule.served.empty()) names.push_back(rule.served);
      return names;
    };
    for (const DimRule& rule : waiting) {
      const std::string key = "dims." + rule.name;
      if (rule.expr) CheckExpr(*rule.expr, key + ".expr");
      if (rule.fallback) CheckExpr(*rule.fallback, key + ".default");
      if (!rule.served.empty()) NeedDim(rule.served, 1, key + ".served");
    }
    while (!waiting.empty()) {
      const auto ready = std::find_if(waiting.begin(), waiting.end(), [&](const DimRule& rule) {
        const std::vector<std::string> names = needs(rule);
        return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
          return known.contains(name) || !dim_names_.contains(name);
        });
      });
      if (ready == waiting.end()) {
        for (const DimRule& rule : waiting) {
          faults_.Add(1, "dims." + rule.name, "this dimension follows from itself",
                      "break the circle of expressions");
        }
        break;
      }
      known.insert(ready->name);
      ordered.push_back(std::move(*ready));
      waiting.erase(ready);
    }
    table_.dims = std::move(ordered);
  }

  void NeedDim(const std::string& name, uint32_t line, const std::string& key) {
    if (dim_names_.contains(name)) return;
    faults_.Add(line, key, fmt::format("there is no dimension {}", name),
                "declare it under [dims]");
  }

  void CheckOneRow(size_t index) {
    Row& row = table_.rows[index];
    const std::string key = RowKey(index);
    if (!roles_.insert(row.role.text()).second) {
      faults_.Add(row.line, key + ".role", fmt::format("role {} has two rows", row.role.text()));
    }
    if (row.cells.empty()) {
      faults_.Add(row.line, key, fmt::format("role {} has no cell", row.role.text()),
                  "schemes here: " + ListSome(table_.schemes, kMostNames));
    }
    CheckRow(row, key, dim_names_, faults_);
  }

  void CheckTie(size_t index) {
    const Row& row = table_.rows[index];
    if (!row.tied) return;
    const std::string key = RowKey(index) + ".tied";
    const Row* const other = table_.FindRow(row.tied->role);
    if (other == nullptr) {
      faults_.Add(row.line, key, fmt::format("there is no role {}", row.tied->role));
      return;
    }
    if (row.role.HasSlots() || other->role.HasSlots()) {
      faults_.Add(row.line, key, "only roles without {l} can be tied");
    }
    if (std::set<std::string>(row.axes.begin(), row.axes.end()) !=
        std::set<std::string>(other->axes.begin(), other->axes.end())) {
      faults_.Add(
          row.line, key,
          fmt::format("role {} has other axes: {}", row.tied->role, fmt::join(other->axes, " ")));
    }
  }

  /// Two cells of one spelling, whole tensors both. (CheckFamily finds what only numbers show.)
  void CheckClaims() {
    std::map<std::pair<std::string, std::string>, std::string> owners;
    for (size_t i = 0; i < table_.rows.size(); ++i) {
      const Row& row = table_.rows[i];
      for (const Cell& cell : row.cells) {
        const auto& terms = cell.layouts[0].second.terms;
        const bool is_part = std::any_of(terms.begin(), terms.end(), [](const Layout::Term& term) {
          return term.begin.has_value();
        });
        if (is_part || cell.when) continue;
        const auto [owner, is_new] =
            owners.emplace(std::pair(cell.scheme, cell.name.text()), row.role.text());
        if (is_new) continue;
        faults_.Add(row.line, fmt::format("{}.{}.name", RowKey(i), cell.scheme),
                    fmt::format("{} already belongs to role {}", cell.name.text(), owner->second));
      }
    }
  }

  void CheckShapeRoles(const DimRule& rule) {
    for (const auto& [scheme, role] : rule.shape) {
      const std::string key = fmt::format("dims.{}.shape", rule.name);
      if (!scheme.empty()) NeedScheme(scheme, 1, key);
      const Row* const row = table_.FindRow(role);
      if (row == nullptr) {
        faults_.Add(1, key, fmt::format("there is no role {}", role));
      } else if (rule.name == "L" ? !row->role.HasSlots()
                                  : std::find(row->axes.begin(), row->axes.end(), rule.name) ==
                                        row->axes.end()) {
        faults_.Add(row->line, key, fmt::format("role {} has no axis {}", role, rule.name));
      }
    }
  }

  void NeedScheme(const std::string& scheme, uint32_t line, const std::string& key) {
    if (table_.HasScheme(scheme)) return;
    faults_.Add(line, key, fmt::format("there is no scheme {}", scheme),
                "schemes here: " + ListSome(table_.schemes, kMostNames));
  }

  void NeedFact(const std::string& fact, uint32_t line, const std::string& key) {
    const bool is_known = std::any_of(table_.facts.begin(), table_.facts.end(),
                                      [&](const FactRule& rule) { return rule.name == fact; });
    if (!is_known) {
      faults_.Add(line, key, fmt::format("there is no fact {}", fact), "declare it under [facts]");
    }
  }

  void NeedValue(const Choice& choice, const std::string& value, uint32_t line,
                 const std::string& key) {
    if (choice.values.contains(value)) return;
    faults_.Add(line, key, fmt::format("\"{}\" is none of its values", value));
  }

  void CheckChoice(const std::string& name, const Choice& choice) {
    const std::string key = "choices." + name;
    NeedValue(choice, choice.fallback, 1, key + ".default");
    for (const auto& [fact, values] : choice.facts) {
      const std::string facts = key + ".facts";
      NeedFact(fact, 1, facts);
      for (const auto& [from, to] : values)
        NeedValue(choice, to, 1, fmt::format("{}.{}", facts, fact));
    }
    for (const auto& [value, text] : choice.says) NeedValue(choice, value, 1, key + ".says");
    for (const auto& [value, flag] : choice.server_flags)
      NeedValue(choice, value, 1, key + ".server_flags");
  }

  void CheckServed(const ServedModel& model) {
    const std::string key = "models." + model.name;
    for (const auto& [dim, size] : model.dims) NeedDim(dim, model.line, key + ".dims");
    for (const auto& [fact, value] : model.facts) NeedFact(fact, model.line, key + ".facts");
    for (const auto* const names : {&model.cut, &model.resized}) {
      for (const std::string& name : *names) {
        if (model.dims.contains(name)) continue;
        faults_.Add(model.line, key, fmt::format("{} is cut or resized to no size", name),
                    "give it one under dims");
      }
    }
    for (const auto& [name, by_scheme] : model.choices) {
      const auto choice = table_.choices.find(name);
      if (choice == table_.choices.end()) {
        faults_.Add(model.line, key + ".choices", fmt::format("there is no choice {}", name));
        continue;
      }
      for (const auto& [scheme, value] : by_scheme) {
        if (!scheme.empty()) NeedScheme(scheme, model.line, key + ".choices");
        NeedValue(choice->second, value, model.line, key + ".choices");
      }
    }
  }

  void CheckNameRules(const std::vector<NameRule>& rules, std::string_view kind) {
    for (size_t i = 0; i < rules.size(); ++i) {
      NeedScheme(rules[i].scheme, 1, fmt::format("{}[{}].scheme", kind, i));
    }
  }

  FamilyTable& table_;
  TableFaults& faults_;
  std::set<std::string> dim_names_;
  std::set<std::string> roles_;
};

}  // namespace

void ApplyRules(FamilyTable& table, TableFaults& faults) { Rules(table, faults).Run(); }

}  // namespace ckpt
