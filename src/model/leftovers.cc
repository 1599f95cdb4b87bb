#include "model/leftovers.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"
#include "model/family.h"
#include "model/layers.h"

namespace ckpt {
namespace {

constexpr size_t kMostDigits = 9;  // of a layer's number

/// A leaf that has no source when it is written, and no use when it is read.
bool IsConstantName(const Model& model, const std::string& name) {
  for (const Row& row : model.family->rows()) {
    for (const Cell& cell : row.cells) {
      if (!cell.IsConstant() || cell.scheme != model.source_scheme) continue;
      if (cell.name.MatchName(name)) return true;
    }
  }
  return false;
}

/// "model.layers.3.x" -> "model.layers.{l}.x" and 3, likewise "layers_3/x": unknown names that
/// differ in a number are one line.
std::pair<std::string, std::optional<uint64_t>> Generalize(const std::string& name) {
  for (size_t i = name.find_first_of("._"); i != std::string::npos;
       i = name.find_first_of("._", i + 1)) {
    const size_t end = std::min(name.find_first_not_of("0123456789", i + 1), name.size());
    const size_t digits = end - i - 1;
    const char close = name[i] == '.' ? '.' : '/';
    if (digits == 0 || digits > kMostDigits || end == name.size() || name[end] != close) continue;
    return {name.substr(0, i + 1) + "{l}" + name.substr(end),
            std::stoull(name.substr(i + 1, digits))};
  }
  return {name, std::nullopt};
}

}  // namespace

void AccountForLeftover(const std::string& name, std::span<const std::string> missing, Model& model,
                        Account& account) {
  const auto applies = [&](const NameRule& rule) {
    return rule.scheme == model.source_scheme && MatchesGlob(rule.name, name);
  };
  const FamilyTable& table = model.family->table();
  if (IsConstantName(model, name) ||
      std::any_of(table.ignored.begin(), table.ignored.end(), applies)) {
    model.ignored.push_back(name);
    return;
  }
  const auto refused = std::find_if(table.refused.begin(), table.refused.end(), applies);
  const auto [pattern, layer] = Generalize(name);
  if (refused != table.refused.end()) {
    account.Add(name, pattern, layer, refused->text);
    return;
  }
  if (IsBeyondLayers(*model.family, model.source_scheme, model.dims, name)) return;
  std::string what = fmt::format("family {} knows no such tensor", model.family->name());
  const std::string near = Nearest(name, missing);
  if (!near.empty()) what += fmt::format("; did you mean {}?", near);
  account.Add(name, pattern, layer, what);
}

}  // namespace ckpt
