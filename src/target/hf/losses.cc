#include "target/hf/losses.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <map>
#include <set>

#include "base/float.h"

namespace ckpt {
namespace {

// What a role's stored values have been through, and how they come back.
struct Way {
  ValueProgram there;
  ValueProgram back;
  bool operator<(const Way& other) const { return Key() < other.Key(); }

 private:
  std::string Key() const {
    std::string key;
    for (const ValueProgram* program : {&there, &back}) {
      for (const ValueStep& step : *program)
        key += fmt::format("{} {} {}, ", static_cast<int>(step.kind), static_cast<int>(step.type),
                           step.exact);
      key += "; ";
    }
    return key;
  }
};

struct Change {
  unsigned values = 0;
  unsigned changed = 0;
  double most = 0;  // of the absolute difference, by value
};

// Every bf16 value from 2^-7 up to 4, with both signs: where weights and norms are. Factors treat
// all exponents alike.
Change ChangeOf(const Way& way) {
  constexpr uint16_t begin = 0x3c00;  // 2^-7
  constexpr uint16_t end = 0x4080;    // 4
  Change change;
  for (const uint16_t sign : {uint16_t{0}, uint16_t{0x8000}}) {
    for (uint16_t bits = begin; bits < end; ++bits) {
      const float value = ToF32(BF16{static_cast<uint16_t>(bits | sign)});
      const float again = ApplyValue(way.back, ApplyValue(way.there, value));
      const float rounded = ToF32(ToBF16(again));
      ++change.values;
      change.changed += rounded == value ? 0 : 1;
      change.most = std::max(change.most, std::abs(static_cast<double>(rounded) - value));
    }
  }
  return change;
}

// "layer.3.attention.q" as "layer.*.attention.q".
std::string KindOf(const RoleInstance& instance) {
  if (!instance.layer) return instance.role;
  std::string kind = instance.role;
  const std::string number = fmt::format(".{}.", *instance.layer);
  if (const size_t at = kind.find(number); at != std::string::npos)
    kind.replace(at, number.size(), ".*.");
  return kind;
}

}  // namespace

Result<std::vector<std::string>> LossesOf(const Model& model, const Catalog& catalog) {
  std::map<Way, std::set<std::string>> kinds;
  for (const BoundRole& bound : model.roles) {
    if (bound.value.empty() || !bound.tied_to.empty()) continue;
    CKPT_TRY(const std::optional<CellInstance> cell,
             CellIn(model, bound.instance, model.source_scheme));
    if (!cell) continue;
    const bool is_f32 = catalog.tensors[bound.tensor].dtype == DType::kF32;
    kinds[{is_f32 ? InF32(cell->value) : cell->value, bound.value}].insert(KindOf(bound.instance));
  }
  std::vector<std::string> lines;
  for (const auto& [way, names] : kinds) {
    const Change change = ChangeOf(way);
    if (change.changed == 0) continue;
    lines.push_back(fmt::format(
        "{}: the source's arithmetic does not come back bit for bit: {:.1f} % of bf16 values "
        "between 2^-7 and 4 change, by {:.2g} at most (convert to MaxText with --dtype float32 to "
        "come back closer)",
        fmt::join(names, ", "), 100.0 * change.changed / change.values, change.most));
  }
  return lines;
}

}  // namespace ckpt
