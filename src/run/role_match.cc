#include "run/role_match.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "model/family.h"

namespace ckpt {
namespace {

std::vector<uint64_t> ExtentsOf(const BoundRole& bound) {
  std::vector<uint64_t> extents = bound.view.extents;
  if (bound.parts_axis) extents[*bound.parts_axis] = bound.parts.size();
  return extents;
}

// Cuts what both have out of two shapes of one role.
void FindCommon(RolePair& pair) {
  const std::vector<Axis>& axes = pair.a->instance.axes;
  pair.common.begin.assign(axes.size(), 0);
  pair.common.end = pair.extents_a;
  std::optional<size_t> longer;
  for (size_t k = 0; k < axes.size(); ++k) {
    if (pair.extents_a[k] == pair.extents_b[k]) continue;
    if (axes[k].name != kVocabularyAxis) {
      pair.has_other_shape = true;
      return;
    }
    longer = k;
    pair.common.end[k] = std::min(pair.extents_a[k], pair.extents_b[k]);
  }
  if (!longer) return;
  pair.is_more_a = pair.extents_a[*longer] > pair.extents_b[*longer];
  pair.more = pair.common;
  pair.more.begin[*longer] = pair.common.end[*longer];
  pair.more.end[*longer] = std::max(pair.extents_a[*longer], pair.extents_b[*longer]);
}

// Whether a pair of tied roles is, on both sides, the very same numbers as the pair of the role
// that they are tied to.
bool IsSame(const BoundRole& one, const BoundRole& other) {
  return one.tensor == other.tensor && one.parts.empty() && other.parts.empty() &&
         one.view == other.view && one.value == other.value;
}

}  // namespace

Result<std::vector<RolePair>> MatchRoles(const Model& a, const Model& b) {
  if (a.family->name() != b.family->name())
    return Fail(Code::kBadInput,
                fmt::format("A is of family {}, B of family {}: they have no roles in common",
                            a.family->name(), b.family->name()),
                "name two checkpoints of one model; --family NAME says which it is where the files "
                "do not");
  std::vector<RolePair> pairs;
  std::unordered_map<std::string_view, size_t> places;
  for (const BoundRole& bound : a.roles) {
    places[bound.instance.role] = pairs.size();
    RolePair& pair = pairs.emplace_back();
    pair.role = bound.instance.role;
    pair.a = &bound;
    pair.extents_a = ExtentsOf(bound);
  }
  for (const BoundRole& bound : b.roles) {
    const auto place = places.find(bound.instance.role);
    RolePair& pair = place == places.end() ? pairs.emplace_back() : pairs[place->second];
    pair.role = bound.instance.role;
    pair.b = &bound;
    pair.extents_b = ExtentsOf(bound);
  }
  for (RolePair& pair : pairs) {
    if (pair.a != nullptr && pair.b != nullptr) {
      FindCommon(pair);
      continue;
    }
    const Model& other = pair.a == nullptr ? a : b;
    CKPT_TRY(const std::optional<CellInstance> cell,
             CellIn(other, pair.instance(), other.source_scheme));
    pair.is_unplaced = !cell;
  }
  for (RolePair& pair : pairs) {
    if (!pair.IsCompared() || pair.a->tied_to.empty() || pair.a->tied_to != pair.b->tied_to)
      continue;
    const auto place = places.find(pair.a->tied_to);
    if (place == places.end()) continue;
    const RolePair& other = pairs[place->second];
    if (other.IsCompared() && IsSame(*pair.a, *other.a) && IsSame(*pair.b, *other.b))
      pair.same_as = place->second;
  }
  return pairs;
}

}  // namespace ckpt
