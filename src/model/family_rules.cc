#include "model/family_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"

namespace ckpt {
namespace {

class Rules {
 public:
  Rules(FamilyTable& table, Faults& faults) : table_(table), faults_(faults) {
    for (const DimRule& rule : table.dims) dim_names_.insert(rule.name);
  }

  void Run() {
    CheckNames();
    OrderDims();
    for (size_t i = 0; i < table_.rows.size(); ++i) CheckRow(i);
    for (size_t i = 0; i < table_.rows.size(); ++i) CheckTie(i);
    CheckClaims();
    for (const DimRule& rule : table_.dims) CheckShapeRole(rule);
    for (const auto& [name, choice] : table_.choices) {
      if (choice.values.contains(choice.fallback)) continue;
      faults_.Add(1, fmt::format("choices.{}.default", name),
                  fmt::format("\"{}\" is none of its values", choice.fallback));
    }
    CheckNameRules(table_.ignored, "ignore");
    CheckNameRules(table_.refused, "refuse");
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

  /// The names in `expr` must be dimensions, or l where a layer is at hand.
  void CheckExpr(const Expr& expr, bool has_layer, uint32_t line, const std::string& key) {
    for (const std::string& name : expr.Names()) {
      if (dim_names_.contains(name) || (has_layer && name == "l")) continue;
      faults_.Add(line, key, fmt::format("\"{}\": there is no dimension {}", expr.text(), name),
                  name == "l" ? "l has a value only in rows whose role has {l}"
                              : "declare it under [dims]");
    }
  }

  void OrderDims() {
    std::vector<DimRule> ordered;
    std::set<std::string> known;
    std::vector<DimRule> waiting = std::move(table_.dims);
    const auto needs = [](const DimRule& rule) {
      std::vector<std::string> names = rule.expr ? rule.expr->Names() : std::vector<std::string>();
      const auto more = rule.fallback ? rule.fallback->Names() : std::vector<std::string>();
      names.insert(names.end(), more.begin(), more.end());
      return names;
    };
    for (const DimRule& rule : waiting) {
      const std::string key = "dims." + rule.name;
      if (rule.expr) CheckExpr(*rule.expr, false, 1, key + ".expr");
      if (rule.fallback) CheckExpr(*rule.fallback, false, 1, key + ".default");
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

  void CheckRow(size_t index) {
    Row& row = table_.rows[index];
    const std::string key = RowKey(index);
    for (const Expr& slot : row.role.slots()) {
      if (slot.text() != "l") faults_.Add(row.line, key + ".role", "a role numbers layers as {l}");
    }
    if (row.role.HasSlots() && !dim_names_.contains("L")) {
      faults_.Add(row.line, key + ".role", "{l} needs the number of layers",
                  "declare L under [dims]");
    }
    if (!roles_.insert(row.role.text()).second) {
      faults_.Add(row.line, key + ".role", fmt::format("role {} has two rows", row.role.text()));
    }
    if (row.cells.empty()) {
      faults_.Add(row.line, key, fmt::format("role {} has no cell", row.role.text()),
                  "schemes here: " + ListSome(table_.schemes, 20));
      return;
    }
    auto canonical = std::find_if(row.cells.begin(), row.cells.end(),
                                  [](const Cell& cell) { return cell.scheme == "hf"; });
    if (canonical == row.cells.end()) canonical = row.cells.begin();
    row.axes = canonical->layouts[0].second.Axes();
    for (const std::string& axis : row.axes) {
      if (dim_names_.contains(axis)) continue;
      faults_.Add(row.line, fmt::format("{}.{}.layout", key, canonical->scheme),
                  fmt::format("axis {} has no extent", axis), "declare it under [dims]");
    }
    for (const Cell& cell : row.cells) CheckCell(row, cell, fmt::format("{}.{}", key, cell.scheme));
  }

  void CheckCell(const Row& row, const Cell& cell, const std::string& key) {
    const bool has_layer = row.role.HasSlots();
    for (const Expr& slot : cell.name.slots()) CheckExpr(slot, has_layer, row.line, key + ".name");
    CheckPart(cell.when, row, key + ".when");
    for (const auto& layout : cell.layouts) CheckLayout(row, layout.second, key + ".layout");
  }

  void CheckLayout(const Row& row, const Layout& layout, const std::string& key) {
    std::vector<std::string> expected = row.axes;
    std::vector<std::string> axes = layout.Axes();
    std::sort(expected.begin(), expected.end());
    std::sort(axes.begin(), axes.end());
    if (axes != expected) {
      faults_.Add(row.line, key,
                  fmt::format("layout \"{}\" has other axes than the role: {}", layout.text,
                              fmt::join(row.axes, " ")),
                  "all layouts of a row use the same axes, each once");
    }
    for (const Layout::Term& term : layout.terms) {
      CheckPart(term.begin, row, key);
      CheckPart(term.end, row, key);
      CheckPart(term.whole, row, key);
    }
  }

  void CheckPart(const std::optional<Expr>& expr, const Row& row, const std::string& key) {
    if (expr) CheckExpr(*expr, row.role.HasSlots(), row.line, key);
  }

  void CheckTie(size_t index) {
    const Row& row = table_.rows[index];
    if (!row.tied) return;
    const std::string key = RowKey(index) + ".tied";
    const auto other = std::find_if(table_.rows.begin(), table_.rows.end(),
                                    [&](const Row& r) { return r.role.text() == row.tied->role; });
    if (other == table_.rows.end()) {
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

  void CheckShapeRole(const DimRule& rule) {
    if (rule.shape.empty()) return;
    const std::string key = fmt::format("dims.{}.shape", rule.name);
    const auto row = std::find_if(table_.rows.begin(), table_.rows.end(),
                                  [&](const Row& r) { return r.role.text() == rule.shape; });
    if (row == table_.rows.end()) {
      faults_.Add(1, key, fmt::format("there is no role {}", rule.shape));
    } else if (std::find(row->axes.begin(), row->axes.end(), rule.name) == row->axes.end()) {
      faults_.Add(row->line, key, fmt::format("role {} has no axis {}", rule.shape, rule.name));
    }
  }

  void CheckNameRules(const std::vector<NameRule>& rules, std::string_view kind) {
    for (size_t i = 0; i < rules.size(); ++i) {
      const auto& schemes = table_.schemes;
      if (std::find(schemes.begin(), schemes.end(), rules[i].scheme) != schemes.end()) continue;
      faults_.Add(1, fmt::format("{}[{}].scheme", kind, i),
                  fmt::format("there is no scheme {}", rules[i].scheme),
                  "schemes here: " + ListSome(schemes, 20));
    }
  }

  FamilyTable& table_;
  Faults& faults_;
  std::set<std::string> dim_names_;
  std::set<std::string> roles_;
};

}  // namespace

void ApplyRules(FamilyTable& table, Faults& faults) { Rules(table, faults).Run(); }

}  // namespace ckpt
