#include "model/cell.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace ckpt {
namespace {

constexpr size_t kMostNames = 20;      // in a message
constexpr uint64_t kMaxParts = 10000;  // a configuration of more is damaged, not large

/// Whether the next of `axes`, from number `begin` on, are those of the choice in any order.
bool IsChoiceAt(const std::vector<std::string>& axes, size_t begin, const Choice& choice) {
  const size_t count = choice.axes.size();
  if (choice.axis.empty() || count == 0 || count > axes.size() - begin) return false;
  const auto first = axes.begin() + static_cast<std::ptrdiff_t>(begin);
  return std::is_permutation(first, first + static_cast<std::ptrdiff_t>(count),
                             choice.axes.begin());
}

/// "h*d" for (h p t), where a choice calls p and t together d.
std::string NameOfTerm(const Layout::Term& term, const Family& family) {
  if (term.axes.empty()) return term.IsLayer() ? "l" : "";
  std::string name;
  for (size_t i = 0; i < term.axes.size();) {
    std::string part = term.axes[i];
    size_t used = 1;
    for (const auto& [key, choice] : family.table().choices) {
      if (!IsChoiceAt(term.axes, i, choice)) continue;
      part = choice.axis;
      used = choice.axes.size();
    }
    name += name.empty() ? part : "*" + part;
    i += used;
  }
  return name;
}

Result<void> FillParts(const Cell& cell, std::span<const Axis> axes, const Scope& scope,
                       CellInstance& out) {
  const size_t number = AxisNumber(axes, cell.parts_axis);
  if (axes[number].extent > kMaxParts) {
    return Fail(Code::kBadInput,
                fmt::format("{} tensors of one role: axis {} numbers them", axes[number].extent,
                            cell.parts_axis),
                "use the configuration that belongs to these weights");
  }
  out.parts_axis = number;
  for (uint64_t part = 0; part < axes[number].extent; ++part) {
    CKPT_TRY(std::string name,
             cell.name.Render(Scope{scope.dims, scope.layer, cell.parts_axis, part}));
    out.part_names.push_back(std::move(name));
  }
  out.name = out.part_names.front();
  return {};
}

/// The view over all axes of the role, of which a layout of parts has all but one.
Result<View> ViewOf(const Cell& cell, const Layout& layout, std::span<const Axis> axes,
                    const Scope& scope) {
  if (cell.parts_axis.empty()) return BuildView(layout, axes, scope);
  const size_t number = AxisNumber(axes, cell.parts_axis);
  std::vector<Axis> inside(axes.begin(), axes.end());
  inside.erase(inside.begin() + static_cast<std::ptrdiff_t>(number));
  CKPT_TRY(View view, BuildView(layout, inside, scope));
  view.extents.insert(view.extents.begin() + static_cast<std::ptrdiff_t>(number), 1);
  view.strides.insert(view.strides.begin() + static_cast<std::ptrdiff_t>(number), 0);
  return view;
}

Result<void> NeedScheme(const Family& family, std::string_view scheme) {
  if (family.HasScheme(scheme)) return {};
  const std::string near = Nearest(scheme, family.schemes());
  return Fail(Code::kUsage,
              fmt::format("family {} has no scheme \"{}\"", family.name(), Printable(scheme)),
              near.empty() ? "schemes: " + ListSome(family.schemes(), kMostNames)
                           : fmt::format("did you mean {}?", near));
}

}  // namespace

Result<CellInstance> FillCell(const Family& family, const Cell& cell, std::span<const Axis> axes,
                              const Scope& scope, const std::map<std::string, std::string>& facts) {
  CKPT_TRY(const Layout* const layout, family.FindLayout(cell, facts));
  CellInstance out;
  if (cell.parts_axis.empty()) {
    CKPT_TRY(out.name, cell.name.Render(scope));
  } else {
    CKPT_TRY_VOID(FillParts(cell, axes, scope, out));
  }
  const auto where = Where("tensor", out.name);
  CKPT_TRY(out.view, ViewOf(cell, *layout, axes, scope).map_error(where));
  for (size_t t = 0; t < layout->terms.size(); ++t) {
    out.tensor_axes.push_back({NameOfTerm(layout->terms[t], family), out.view.tensor[t]});
  }
  out.layer_axis = layout->LayerTerm();
  if (out.layer_axis) {
    const Layout::Term& term = layout->terms[*out.layer_axis];
    CKPT_TRY(out.layer_index, term.begin->EvaluateUnsigned(scope).map_error(where));
  }
  out.quantize = cell.quantize;
  for (const std::string& axis : cell.reduce) out.reduce.push_back(AxisNumber(axes, axis));
  std::sort(out.reduce.begin(), out.reduce.end());
  if (cell.value) {
    CKPT_TRY(out.value, cell.value->Evaluate(scope).map_error(where));
  }
  return out;
}

Shape ConstantShape(const Cell& cell, const Dims& dims) {
  Shape shape;
  for (const std::string& axis : cell.layouts[0].second.Axes()) {
    shape.extents.push_back(dims.at(axis));
  }
  return shape;
}

Result<std::optional<CellInstance>> CellIn(const Model& model, const RoleInstance& instance,
                                           std::string_view scheme) {
  const Family& family = *model.family;
  CKPT_TRY_VOID(NeedScheme(family, scheme));
  const Scope scope{model.dims, instance.layer};
  CKPT_TRY(const Cell* const cell, family.FindCell(family.rows().at(instance.row), scheme, scope));
  if (cell == nullptr || cell->IsConstant()) return std::optional<CellInstance>();
  CKPT_TRY(CellInstance found, FillCell(family, *cell, instance.axes, scope, model.facts));
  return std::optional(std::move(found));
}

Result<Constants> ConstantsIn(const Model& model, std::string_view scheme) {
  const Family& family = *model.family;
  CKPT_TRY_VOID(NeedScheme(family, scheme));
  const Scope scope{model.dims, std::nullopt};
  Constants constants;
  for (const Row& row : family.rows()) {
    if (!row.IsConstant()) continue;
    CKPT_TRY(const Cell* const cell, family.FindCell(row, scheme, scope));
    if (cell == nullptr) continue;
    CKPT_TRY(std::string name, cell->name.Render(scope));
    if (!cell->constant) {
      constants.empty_nodes.push_back({std::move(name), cell->empty_kind});
      continue;
    }
    constants.values.push_back(
        {std::move(name), cell->constant_type, ConstantShape(*cell, model.dims), *cell->constant});
  }
  return constants;
}

}  // namespace ckpt
