#include "cli/diff_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"
#include "model/family.h"
#include "run/role_reader.h"

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostRolesShown = 30;
constexpr std::array<const char*, 2> kSideNames = {"A", "B"};
constexpr std::array<const char*, 2> kSideKeys = {"a", "b"};

// What the pairs came to.
struct DiffCounts {
  uint64_t compared = 0;
  uint64_t equal = 0;  // of those compared
  uint64_t other_shape = 0;
  std::array<uint64_t, 2> only{};
  uint64_t padded = 0;  // of those equal
  uint64_t elements = 0;
  uint64_t different_elements = 0;
  uint64_t ulps = 0;
};

DiffCounts Count(const DiffPlan& plan, const DiffResult& result) {
  DiffCounts counts;
  for (size_t i = 0; i < plan.pairs.size(); ++i) {
    const RolePair& pair = plan.pairs[i];
    const RoleOutcome& outcome = result.outcomes[i];
    if (pair.a == nullptr || pair.b == nullptr) {
      ++counts.only[pair.a == nullptr ? 1 : 0];
    } else if (pair.has_other_shape) {
      ++counts.other_shape;
    } else {
      const bool is_equal = !IsDifferent(pair, outcome);
      ++counts.compared;
      counts.equal += is_equal ? 1 : 0;
      counts.padded += is_equal && pair.HasMore() ? 1 : 0;
      counts.elements += outcome.figures.elements;
      counts.different_elements += outcome.figures.different;
      counts.ulps = std::max(counts.ulps, outcome.figures.ulps);
    }
  }
  return counts;
}

// Whether something is to be said of a pair: it differs, or is not whole on both sides.
bool IsNotable(const RolePair& pair, const RoleOutcome& outcome) {
  return IsDifferent(pair, outcome) || !pair.IsCompared() || pair.HasMore();
}

const BoundRole* SideOf(const RolePair& pair, size_t side) { return side == 0 ? pair.a : pair.b; }

// "h 3, p 0, t 12, e 55".
std::string IndexText(const std::vector<Axis>& axes, std::span<const uint64_t> index) {
  std::string text;
  for (size_t k = 0; k < index.size(); ++k)
    text += fmt::format("{}{} {}", k == 0 ? "" : ", ", axes[k].name, index[k]);
  return text.empty() ? "its one element" : text;
}

std::string ShapeText(const std::vector<Axis>& axes, const std::vector<uint64_t>& extents) {
  return "[" + IndexText(axes, extents) + "]";
}

std::string Plural(uint64_t count, std::string_view word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

struct MoreRows {
  uint64_t rows = 0;
  std::string axis;
};
MoreRows MoreOf(const RolePair& pair) {
  for (size_t k = 0; k < pair.more.begin.size(); ++k) {
    if (pair.more.begin[k] > 0)
      return {pair.more.end[k] - pair.more.begin[k], pair.instance().axes[k].name};
  }
  return {};
}

std::string FiguresLine(const DiffArithmetic& arithmetic, const UlpFigures& figures) {
  if (figures.different == 0) return fmt::format("equal, {}", Plural(figures.elements, "element"));
  std::string text =
      fmt::format("{} of {} differ", figures.different, Plural(figures.elements, "element"));
  if (figures.nans < figures.different)
    text += fmt::format(", at most {} of {} and {:.6g}", Plural(figures.ulps, "ULP"),
                        Name(arithmetic.type), figures.difference);
  if (figures.nans > 0) text += fmt::format(", {} where one side is NaN", figures.nans);
  return text;
}

// The lines under a role that tell where the largest difference is.
std::string WorstLines(const DiffPlan& plan, const RolePair& pair, const RoleOutcome& outcome) {
  std::string text;
  for (size_t side = 0; side < 2; ++side) {
    const BoundRole& bound = *SideOf(pair, side);
    const ElementPlace place = FindElement(*plan.sides[side].catalog, bound, outcome.worst_index);
    text += fmt::format("  {}  {:<12.9g} {}[{}]{}{}\n", kSideNames[side],
                        side == 0 ? outcome.figures.worst_a : outcome.figures.worst_b,
                        Printable(place.tensor), fmt::join(place.index, ", "),
                        place.object.empty() ? "" : " in ", place.object);
  }
  return text;
}

std::string PairText(const DiffPlan& plan, size_t number, const RoleOutcome& outcome) {
  const RolePair& pair = plan.pairs[number];
  const std::vector<Axis>& axes = pair.instance().axes;
  std::string text = Printable(pair.role) + ": ";
  if (!pair.IsCompared()) {
    if (pair.has_other_shape)
      return text + fmt::format("{} in A, {} in B: not compared\n", ShapeText(axes, pair.extents_a),
                                ShapeText(axes, pair.extents_b));
    const size_t side = pair.a != nullptr ? 0 : 1;
    return text + fmt::format("only in {}{}\n", kSideNames[side],
                              pair.is_unplaced ? fmt::format(": the form of {} has no place for it",
                                                             kSideNames[1 - side])
                                               : "");
  }
  const UlpFigures& figures = outcome.figures;
  text += FiguresLine(plan.arithmetic[number], figures);
  if (pair.HasMore()) {
    const MoreRows more = MoreOf(pair);
    text += fmt::format("; {} has {} more of {}, {}", kSideNames[pair.is_more_a ? 0 : 1], more.rows,
                        more.axis, outcome.is_more_zero ? "all zeros" : "not all zeros");
  }
  if (figures.different == 0) return text + "\n";
  text += fmt::format("\n  largest at {}\n", IndexText(axes, outcome.worst_index));
  return text + WorstLines(plan, pair, outcome);
}

// The order of a head's rotary pairs, where the names of this side leave it open.
std::string RopeText(const Model& model) {
  const auto rope = model.facts.find("rope");
  if (rope == model.facts.end()) return {};
  for (const Row& row : model.family->rows()) {
    for (const Cell& cell : row.cells) {
      if (cell.scheme == model.source_scheme && cell.choice == rope->first)
        return ", rope " + Printable(rope->second);
    }
  }
  return {};
}

std::string SideText(const DiffPlan& plan, size_t side, const DiffName& name) {
  const DiffSide& of = plan.sides[side];
  return fmt::format("{}  {}  ({}, names of {}{}{}{})\n", kSideNames[side], name.place,
                     of.catalog->format, of.model->source_scheme, RopeText(*of.model),
                     name.reading.empty() ? "" : ", configuration: ", name.reading);
}

std::string SummaryText(const DiffPlan& plan, const DiffResult& result) {
  const DiffCounts counts = Count(plan, result);
  std::string text =
      fmt::format("{}: {} of {} equal", IsAllEqual(plan, result) ? "equal" : "different",
                  counts.equal, Plural(counts.compared, "role"));
  if (counts.padded > 0) text += fmt::format(" ({} but for rows of zeros)", counts.padded);
  if (counts.other_shape > 0) text += fmt::format(", {} of other shapes", counts.other_shape);
  for (size_t side = 0; side < 2; ++side) {
    if (counts.only[side] > 0)
      text += fmt::format(", {} only in {}", counts.only[side], kSideNames[side]);
  }
  text += fmt::format("; {} of {} differ", counts.different_elements,
                      Plural(counts.elements, "element"));
  if (counts.ulps > 0) text += fmt::format(", at most {}", Plural(counts.ulps, "ULP"));
  return text + "\n";
}

Json TensorJson(const DiffPlan& plan, const RolePair& pair, size_t side) {
  const BoundRole* const bound = SideOf(pair, side);
  if (bound == nullptr) return {};
  const Catalog& catalog = *plan.sides[side].catalog;
  Json json = {{"dtype", Name(catalog.tensors[bound->tensor].dtype)},
               {"shape", side == 0 ? pair.extents_a : pair.extents_b},
               {"tensors", Json::array()}};
  if (!bound->parts_axis) json["tensors"].push_back(catalog.tensors[bound->tensor].name);
  for (const size_t part : bound->parts) json["tensors"].push_back(catalog.tensors[part].name);
  return json;
}

Json WorstJson(const DiffPlan& plan, const RolePair& pair, const RoleOutcome& outcome) {
  Json json = {{"index", outcome.worst_index}};
  for (size_t side = 0; side < 2; ++side) {
    const ElementPlace place =
        FindElement(*plan.sides[side].catalog, *SideOf(pair, side), outcome.worst_index);
    json[kSideKeys[side]] = {
        {"value", side == 0 ? outcome.figures.worst_a : outcome.figures.worst_b},
        {"tensor", place.tensor},
        {"index", place.index},
        {"file", place.object.empty() ? Json() : Json(place.object)}};
  }
  return json;
}

const char* VerdictOf(const RolePair& pair, const RoleOutcome& outcome) {
  if (pair.b == nullptr) return "only_in_a";
  if (pair.a == nullptr) return "only_in_b";
  if (pair.has_other_shape) return "other_shape";
  return IsDifferent(pair, outcome) ? "different" : "equal";
}

Json PairJson(const DiffPlan& plan, size_t number, const RoleOutcome& outcome) {
  const RolePair& pair = plan.pairs[number];
  Json axes = Json::array();
  for (const Axis& axis : pair.instance().axes) axes.push_back(axis.name);
  Json json = {{"role", pair.role},
               {"verdict", VerdictOf(pair, outcome)},
               {"is_difference", IsDifferent(pair, outcome)},
               {"axes", std::move(axes)},
               {"a", TensorJson(plan, pair, 0)},
               {"b", TensorJson(plan, pair, 1)}};
  if (!pair.IsCompared()) return json;
  const DiffArithmetic& arithmetic = plan.arithmetic[number];
  const UlpFigures& figures = outcome.figures;
  json["compared_in"] = Name(arithmetic.type);
  json["compared_as"] = arithmetic.is_as_stored ? "stored" : "values";
  json["elements"] = figures.elements;
  json["different_elements"] = figures.different;
  json["nan_elements"] = figures.nans;
  json["largest_ulps"] = figures.ulps;
  json["largest_difference"] = figures.difference;
  if (figures.different > 0) json["worst"] = WorstJson(plan, pair, outcome);
  if (pair.HasMore()) {
    const MoreRows more = MoreOf(pair);
    json["more"] = {{"side", kSideKeys[pair.is_more_a ? 0 : 1]},
                    {"axis", more.axis},
                    {"extent", more.rows},
                    {"is_zero", outcome.is_more_zero}};
  }
  return json;
}

}  // namespace

bool IsAllEqual(const DiffPlan& plan, const DiffResult& result) {
  for (size_t i = 0; i < plan.pairs.size(); ++i) {
    if (IsDifferent(plan.pairs[i], result.outcomes[i])) return false;
  }
  return true;
}

std::string DiffText(const DiffPlan& plan, const DiffResult& result,
                     const std::array<DiffName, 2>& names, bool is_all) {
  std::string text = SideText(plan, 0, names[0]) + SideText(plan, 1, names[1]);
  uint64_t shown = 0;
  uint64_t left = 0;
  for (size_t i = 0; i < plan.pairs.size(); ++i) {
    if (!is_all && !IsNotable(plan.pairs[i], result.outcomes[i])) continue;
    if (!is_all && shown == kMostRolesShown) {
      ++left;
      continue;
    }
    ++shown;
    text += PairText(plan, i, result.outcomes[i]);
  }
  if (left > 0) text += fmt::format("and {} more: --all lists every role\n", left);
  return text + SummaryText(plan, result);
}

std::string DiffJson(const DiffPlan& plan, const DiffResult& result,
                     const std::array<DiffName, 2>& names, bool is_all) {
  const DiffCounts counts = Count(plan, result);
  Json json = {{"verdict", IsAllEqual(plan, result) ? "equal" : "different"},
               {"family", plan.sides[0].model->family->name()}};
  for (size_t side = 0; side < 2; ++side) {
    const DiffSide& of = plan.sides[side];
    json[kSideKeys[side]] = {{"source", names[side].place},
                             {"format", of.catalog->format},
                             {"scheme", of.model->source_scheme},
                             {"configuration", names[side].reading},
                             {"dims", of.model->dims},
                             {"facts", of.model->facts}};
  }
  json["counts"] = {{"compared", counts.compared},
                    {"equal", counts.equal},
                    {"different", counts.compared - counts.equal},
                    {"padded", counts.padded},
                    {"other_shape", counts.other_shape},
                    {"only_in_a", counts.only[0]},
                    {"only_in_b", counts.only[1]},
                    {"elements", counts.elements},
                    {"different_elements", counts.different_elements},
                    {"largest_ulps", counts.ulps}};
  json["read_bytes"] = result.requested_bytes;
  json["memory"] = {{"budget_bytes", plan.memory.budget_bytes},
                    {"granted_peak_bytes", result.granted_peak_bytes}};
  json["roles"] = Json::array();
  for (size_t i = 0; i < plan.pairs.size(); ++i) {
    if (is_all || IsNotable(plan.pairs[i], result.outcomes[i]))
      json["roles"].push_back(PairJson(plan, i, result.outcomes[i]));
  }
  return PrintJson(json) + "\n";
}

}  // namespace ckpt
