#include "model/family.h"

#include <fmt/format.h>

#include <algorithm>

namespace ckpt {

bool FamilyTable::HasScheme(std::string_view scheme) const {
  return std::find(schemes.begin(), schemes.end(), scheme) != schemes.end();
}

const Row* FamilyTable::FindRow(std::string_view role_pattern) const {
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [&](const Row& r) { return r.role.text() == role_pattern; });
  return row == rows.end() ? nullptr : &*row;
}

std::string Family::BaseScheme(const std::string& scheme) const {
  const auto base = table_.unscanned_of.find(scheme);
  return base == table_.unscanned_of.end() ? scheme : base->second;
}

const Row* Family::FindShapeRow(const DimRule& rule, const std::string& scheme) const {
  auto role = rule.shape.find(BaseScheme(scheme));
  if (role == rule.shape.end()) role = rule.shape.find("");
  return role == rule.shape.end() ? nullptr : FindRow(role->second);
}

Result<const Cell*> Family::FindCell(const Row& row, std::string_view scheme,
                                     const Scope& scope) const {
  for (const Cell& cell : row.cells) {
    if (cell.scheme != scheme) continue;
    if (!cell.when) return &cell;
    CKPT_TRY(const int64_t holds, cell.when->Evaluate(scope).map_error(Where("file", table_.file)));
    if (holds != 0) return &cell;
  }
  return nullptr;
}

Result<const Layout*> Family::FindLayout(const Cell& cell,
                                         const std::map<std::string, std::string>& facts) const {
  if (cell.choice.empty()) return &cell.layouts[0].second;
  const auto fact = facts.find(cell.choice);
  const std::string& value =
      fact == facts.end() ? table_.choices.at(cell.choice).fallback : fact->second;
  for (const auto& [name, layout] : cell.layouts) {
    if (name == value) return &layout;
  }
  return Fail(Code::kBadInput,
              fmt::format("{} \"{}\" is no layout of family {}", cell.choice, value, table_.name),
              fmt::format("add it under [choices.{}.values] in {}", cell.choice, table_.file));
}

Result<std::vector<Axis>> AxesOf(const Row& row, const Dims& dims) {
  std::vector<Axis> axes;
  for (const std::string& name : row.axes) {
    const auto dim = dims.find(name);
    if (dim == dims.end()) {
      return Fail(Code::kInternal,
                  fmt::format("role {}: axis {} has no extent", row.role.text(), name));
    }
    axes.push_back({name, dim->second});
  }
  return axes;
}

}  // namespace ckpt
