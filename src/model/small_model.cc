#include "model/small_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/cell.h"

namespace ckpt {
namespace {

constexpr uint64_t kMaxElements = uint64_t{1} << 20;  // of one tensor

class Layouter {
 public:
  Layouter(const Family& family, const SmallModel& model, std::string scheme,
           std::vector<std::string>& faults)
      : family_(family), model_(model), scheme_(std::move(scheme)), faults_(faults) {}

  SmallScheme Run() {
    uint32_t next_number = 1;  // the same role has the same numbers in every scheme
    for (size_t r = 0; r < family_.rows().size(); ++r) {
      const Row& row = family_.rows()[r];
      const bool has_layers = row.role.HasSlots();
      const uint64_t layers = has_layers ? model_.dims.at("L") : 1;
      for (uint64_t l = 0; l < layers; ++l) {
        const Scope scope{model_.dims, has_layers ? std::optional(l) : std::nullopt};
        if (Result<void> laid = LayRole(r, l, scope, next_number); !laid) {
          faults_.push_back(
              fmt::format("role {}, scheme {}: {}", row.role.text(), scheme_, laid.error().what));
        }
        uint64_t elements = 1;
        for (const std::string& axis : row.axes) elements *= model_.dims.at(axis);
        next_number += static_cast<uint32_t>(elements);
      }
    }
    for (const auto& [name, tensor] : out_.tensors) {
      const auto unclaimed = std::count(tensor.numbers.begin(), tensor.numbers.end(), 0U);
      if (unclaimed == 0) continue;
      faults_.push_back(fmt::format("scheme {}: {} of the {} elements of {} belong to no role",
                                    scheme_, unclaimed, tensor.numbers.size(), name));
    }
    return std::move(out_);
  }

 private:
  Result<void> LayRole(size_t r, uint64_t layer, const Scope& scope, uint32_t first_number) {
    const Row& row = family_.rows()[r];
    CKPT_TRY(const Cell* const cell, family_.FindCell(row, scheme_, scope));
    if (cell == nullptr) return {};
    out_.cells.insert(cell);
    CKPT_TRY(const std::vector<Axis> axes, AxesOf(row, model_.dims));
    if (cell->IsConstant()) return LayConstant(*cell, scope);
    CKPT_TRY(const CellInstance filled, FillCell(family_, *cell, axes, scope, model_.facts));
    CKPT_TRY(const Layout* const layout, family_.FindLayout(*cell, model_.facts));
    const bool is_selection =
        std::any_of(layout->terms.begin(), layout->terms.end(),
                    [](const Layout::Term& term) { return term.whole || term.resized; });
    if (is_selection ? !IsInjective(filled.view) : !IsBijection(filled.view)) {
      return Fail(Code::kBadInput, fmt::format("layout \"{}\" is no bijection", layout->text));
    }
    const std::vector<std::string> names = filled.TensorNames();
    for (size_t part = 0; part < names.size(); ++part) {
      CKPT_TRY(SmallTensor* const tensor, TensorOf(names[part], filled.view.tensor));
      const Placed placed{tensor, filled.view, filled.parts_axis, part};
      CKPT_TRY_VOID(Claim(placed, axes, names[part], first_number));
      FillPadding(*layout, filled.view.tensor, axes, *tensor);
      out_.roles[{r, layer}].push_back(placed);
    }
    return {};
  }

  Result<void> LayConstant(const Cell& cell, const Scope& scope) {
    CKPT_TRY(const std::string name, cell.name.Render(scope));
    CKPT_TRY(SmallTensor* const tensor, TensorOf(name, ConstantShape(cell, model_.dims)));
    for (uint32_t& number : tensor->numbers) {
      if (number != 0) {
        return Fail(Code::kBadInput, fmt::format("{} already belongs to another role", name));
      }
      number = SmallTensor::kFill;
    }
    return {};
  }

  Result<SmallTensor*> TensorOf(const std::string& name, const Shape& shape) {
    const uint64_t elements = shape.Elements().value_or(kMaxElements + 1);
    if (elements > kMaxElements) {
      return Fail(Code::kBadInput,
                  fmt::format("even a small model has a tensor of {} elements", elements));
    }
    SmallTensor& tensor = out_.tensors[name];
    if (tensor.numbers.empty()) {
      tensor.shape = shape;
      tensor.numbers.resize(elements);
    } else if (tensor.shape != shape) {
      return Fail(Code::kBadInput, fmt::format("{} has another shape by another row", name));
    }
    return &tensor;
  }

  /// Writes the role's numbers: element (i0, i1, ...) of the whole role has first_number + its
  /// number in C order, whatever part of the role lies here.
  static Result<void> Claim(const Placed& placed, const std::vector<Axis>& axes,
                            const std::string& name, uint32_t first_number) {
    const View& view = placed.view;
    std::vector<uint64_t> index(view.extents.size());
    for (;;) {
      uint64_t element = view.offset;
      uint64_t number = 0;
      for (size_t k = 0; k < index.size(); ++k) {
        element += index[k] * view.strides[k];
        const bool is_part = placed.parts_axis == k;
        number = number * axes[k].extent + (is_part ? placed.part : index[k]);
      }
      uint32_t& slot = placed.tensor->numbers.at(element);
      if (slot != 0) {
        return Fail(
            Code::kBadInput,
            fmt::format("{} already belongs, in part or whole, to another role or layer", name));
      }
      slot = first_number + static_cast<uint32_t>(number);
      size_t k = index.size();
      while (k > 0 && ++index[k - 1] == view.extents[k - 1]) index[--k] = 0;
      if (k == 0) return {};
    }
  }

  /// Marks what lies behind the role's elements along a padded axis.
  static void FillPadding(const Layout& layout, const Shape& shape, const std::vector<Axis>& axes,
                          SmallTensor& tensor) {
    uint64_t stride = tensor.numbers.size();
    for (size_t t = 0; t < layout.terms.size(); ++t) {
      stride /= shape[t];
      const Layout::Term& term = layout.terms[t];
      if (!term.resized) continue;
      const uint64_t held = axes[AxisNumber(axes, term.axes[0])].extent;
      for (size_t element = 0; element < tensor.numbers.size(); ++element) {
        if (element / stride % shape[t] >= held) tensor.numbers[element] = SmallTensor::kFill;
      }
    }
  }

  const Family& family_;
  const SmallModel& model_;
  std::string scheme_;
  std::vector<std::string>& faults_;
  SmallScheme out_;
};

}  // namespace

SmallScheme LayOut(const Family& family, const SmallModel& model, const std::string& scheme,
                   std::vector<std::string>& faults) {
  return Layouter(family, model, scheme, faults).Run();
}

}  // namespace ckpt
