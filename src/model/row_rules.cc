#include "model/row_rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace ckpt {
namespace {

class RowRules {
 public:
  RowRules(Row& row, std::string key, const std::set<std::string>& dims, TableFaults& faults)
      : row_(row), key_(std::move(key)), dims_(dims), faults_(faults) {}

  void Run() {
    for (const Expr& slot : row_.role.slots()) {
      if (slot.text() != "l") Fault(".role", "a role numbers layers as {l}");
    }
    if (row_.role.HasSlots() && !dims_.contains("L")) {
      Fault(".role", "{l} needs the number of layers", "declare L under [dims]");
    }
    if (row_.cells.empty()) return;  // the caller says it: it knows the schemes
    const auto is_constant = [](const Cell& cell) { return cell.IsConstant(); };
    if (std::any_of(row_.cells.begin(), row_.cells.end(), is_constant)) {
      CheckConstants();
      return;
    }
    TakeAxes();
    for (const Cell& cell : row_.cells) CheckCell(cell, "." + cell.scheme);
  }

 private:
  void Fault(const std::string& key, std::string what, std::string remedy = {}) {
    faults_.Add(row_.line, key_ + key, std::move(what), std::move(remedy));
  }

  void CheckConstants() {
    if (row_.role.HasSlots()) Fault(".role", "a constant or empty node has no {l}");
    for (const Cell& cell : row_.cells) {
      const std::string key = "." + cell.scheme;
      if (!cell.IsConstant()) {
        Fault(key, "one cell of the row has a source, another is constant",
              "give the constant a row of its own");
      }
      if (!cell.choice.empty()) Fault(key + ".layout", "a constant has no choice of layout");
      CheckNames(cell.name, key + ".name");
      for (const std::string& axis : cell.layouts[0].second.Axes()) NeedExtent(axis, key);
    }
  }

  void NeedExtent(const std::string& axis, const std::string& cell_key) {
    if (dims_.contains(axis)) return;
    Fault(cell_key + ".layout", fmt::format("axis {} has no extent", axis),
          "declare it under [dims]");
  }

  static std::vector<std::string> AxesOfCell(const Cell& cell) {
    std::vector<std::string> axes = cell.layouts[0].second.Axes();
    // The parts come first: the axes of one tensor stay together.
    if (!cell.parts_axis.empty()) axes.insert(axes.begin(), cell.parts_axis);
    return axes;
  }

  void TakeAxes() {
    auto canonical = std::find_if(row_.cells.begin(), row_.cells.end(),
                                  [](const Cell& cell) { return cell.scheme == "hf"; });
    if (canonical == row_.cells.end()) canonical = row_.cells.begin();
    row_.axes = AxesOfCell(*canonical);
    for (const std::string& axis : row_.axes) NeedExtent(axis, "." + canonical->scheme);
  }

  void CheckNames(const NamePattern& name, const std::string& key) {
    for (const Expr& slot : name.slots()) CheckExpr(slot, key);
  }

  void CheckExpr(const Expr& expr, const std::string& key) {
    CheckDimNames(expr.text(), expr.Names(), dims_, row_.role.HasSlots(),
                  {row_.line, key_ + key, {}, {}}, faults_);
  }

  void CheckPart(const std::optional<Expr>& expr, const std::string& key) {
    if (expr) CheckExpr(*expr, key);
  }

  void CheckCell(const Cell& cell, const std::string& key) {
    CheckNames(cell.name, key + ".name");
    CheckPart(cell.when, key + ".when");
    for (const auto& layout : cell.layouts) CheckLayout(cell, layout.second, key);
    CheckParts(cell, key);
    CheckReduce(cell, key);
    if (cell.value) {
      CheckDimNames(cell.value->text(), cell.value->Names(), dims_, false,
                    {row_.line, key_ + key + ".value", {}, {}}, faults_);
    }
    if (cell.unscanned && !row_.role.HasSlots()) {
      Fault(key + ".unscanned", "only a role with {l} has an unscanned form");
    }
    if (cell.unscanned) CheckNames(*cell.unscanned, key + ".unscanned");
  }

  void CheckLayout(const Cell& cell, const Layout& layout, const std::string& key) {
    std::vector<std::string> expected = row_.axes;
    std::vector<std::string> axes = layout.Axes();
    if (!cell.parts_axis.empty()) axes.push_back(cell.parts_axis);
    std::sort(expected.begin(), expected.end());
    std::sort(axes.begin(), axes.end());
    if (axes != expected) {
      Fault(key + ".layout",
            fmt::format("layout \"{}\" has other axes than the role: {}", layout.text,
                        fmt::join(row_.axes, " ")),
            "all layouts of a row use the same axes, each once");
    }
    for (const Layout::Term& term : layout.terms) {
      CheckPart(term.begin, key + ".layout");
      CheckPart(term.end, key + ".layout");
      CheckPart(term.whole, key + ".layout");
      CheckPart(term.resized, key + ".resize");
    }
  }

  void CheckParts(const Cell& cell, const std::string& key) {
    if (cell.parts_axis.empty()) return;
    const std::vector<std::string> inside = cell.layouts[0].second.Axes();
    if (std::find(inside.begin(), inside.end(), cell.parts_axis) != inside.end()) {
      Fault(key + ".name",
            fmt::format("axis {} numbers the tensors and lies in them too", cell.parts_axis));
    }
    if (cell.unscanned && cell.layouts[0].second.LayerTerm()) {
      Fault(key + ".name", "tensors that stack layers are not numbered by another axis");
    }
  }

  void CheckReduce(const Cell& cell, const std::string& key) {
    if (!cell.reduce.empty() && cell.quantize.empty()) {
      Fault(key + ".reduce", "a cell that is never quantized reduces nothing", "add quantize");
    }
    for (const std::string& axis : cell.reduce) {
      if (std::find(row_.axes.begin(), row_.axes.end(), axis) != row_.axes.end()) continue;
      Fault(key + ".reduce", fmt::format("the role has no axis {}", axis),
            fmt::format("its axes: {}", fmt::join(row_.axes, " ")));
    }
  }

  Row& row_;
  std::string key_;
  const std::set<std::string>& dims_;
  TableFaults& faults_;
};

}  // namespace

void CheckDimNames(const std::string& text, const std::vector<std::string>& names,
                   const std::set<std::string>& dims, bool has_layer, const TableFault& place,
                   TableFaults& faults) {
  for (const std::string& name : names) {
    if (dims.contains(name) || (has_layer && name == "l")) continue;
    faults.Add(
        place.line, place.key, fmt::format("\"{}\": there is no dimension {}", text, name),
        name == "l" ? "l has a value only in rows whose role has {l}" : "declare it under [dims]");
  }
}

void CheckRow(Row& row, const std::string& key, const std::set<std::string>& dims,
              TableFaults& faults) {
  RowRules(row, key, dims, faults).Run();
}

}  // namespace ckpt
