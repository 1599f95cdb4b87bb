#include <fmt/format.h>

#include "base/text.h"
#include "model/family.h"
#include "model/model.h"

namespace ckpt {

Result<std::optional<CellInstance>> CellIn(const Model& model, const RoleInstance& instance,
                                           std::string_view scheme) {
  const Family& family = *model.family;
  if (!family.HasScheme(scheme)) {
    const std::string near = Nearest(scheme, family.schemes());
    return Fail(Code::kUsage,
                fmt::format("family {} has no scheme \"{}\"", family.name(), Printable(scheme)),
                near.empty() ? "schemes: " + ListSome(family.schemes(), 20)
                             : fmt::format("did you mean {}?", near));
  }
  const Scope scope{model.dims, instance.layer};
  CKPT_TRY(const Cell* const cell, family.FindCell(family.rows().at(instance.row), scheme, scope));
  if (cell == nullptr) return std::optional<CellInstance>();
  CKPT_TRY(const Layout* const layout, family.FindLayout(*cell, model.facts));
  CellInstance found;
  CKPT_TRY(found.name, cell->name.Render(scope));
  CKPT_TRY(found.view,
           BuildView(*layout, instance.axes, scope).map_error(Where("tensor", found.name)));
  found.quantize = cell->quantize;
  return std::optional(std::move(found));
}

}  // namespace ckpt
