// CheckFamily. The idea: give every element of every role a number of its own, lay the numbers out
// in each scheme one by one as the views say (small_model.h), and hold the fast way (composed
// mappings) between each two schemes to that. Values are held to their inverse likewise.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/float.h"
#include "model/family.h"
#include "model/small_model.h"
#include "model/value.h"
#include "model/view.h"

namespace ckpt {
namespace {

constexpr size_t kModels = 4;          // small models that a table must survive
constexpr size_t kMostModels = 32;     // where conditions leave cells unused in the first ones
constexpr size_t kMaxAttempts = 4000;  // random draws until the expressions allow one
constexpr uint64_t kMaxExtent = 8;
constexpr uint64_t kMaxLayers = 14;  // two blocks of six and a rest
constexpr size_t kMaxFaults = 20;
constexpr int kLeastValue = 119 << 7;  // bf16 bits of 2^-8, and of 2^8: where weights are
constexpr int kMostValue = 135 << 7;
constexpr float kTolerance = 1.0F / 64;  // of values: both roundings, and some

/// Calls f(element of a, element of b) for every pair of the mapping.
template <class F>
void ForEachPair(const Mapping& mapping, F f) {
  std::vector<uint64_t> index(mapping.axes.size());
  uint64_t a = mapping.offset_a;
  uint64_t b = mapping.offset_b;
  for (;;) {
    f(a, b);
    size_t k = index.size();
    for (; k > 0; --k) {
      const Mapping::Axis& axis = mapping.axes[k - 1];
      a += axis.stride_a;
      b += axis.stride_b;
      if (++index[k - 1] < axis.extent) break;
      index[k - 1] = 0;
      a -= axis.extent * axis.stride_a;
      b -= axis.extent * axis.stride_b;
    }
    if (k == 0) return;
  }
}

/// `view` over the elements that a tensor of one part of another cell holds.
std::optional<View> AtPartOf(View view, const Placed& own, const Placed& other) {
  if (!other.parts_axis) return view;
  const size_t axis = *other.parts_axis;
  if (own.parts_axis == axis) {
    return own.part == other.part ? std::optional(view) : std::nullopt;
  }
  if (other.part >= view.extents[axis]) return std::nullopt;
  return Cut(view, axis, other.part, other.part + 1);
}

/// The views of two tensors over the role elements that both hold; nothing where there is none.
std::optional<std::pair<View, View>> Align(const Placed& a, const Placed& b) {
  const std::optional<View> view_a = AtPartOf(a.view, a, b);
  const std::optional<View> view_b = AtPartOf(b.view, b, a);
  if (!view_a || !view_b) return std::nullopt;
  return Common(*view_a, *view_b);
}

class Prover {
 public:
  explicit Prover(const Family& family) : family_(family) {}

  Result<FamilyProof> Run() {
    proof_.rows = family_.rows().size();
    proof_.schemes = family_.schemes().size();
    for (const Row& row : family_.rows()) {
      if (!row.IsConstant()) proof_.pairs += row.cells.size() * (row.cells.size() - 1);
    }
    CountUnused();
    for (size_t attempt = 0; attempt < kMaxAttempts; ++attempt) {
      if (proof_.models >= (proof_.unused_cells == 0 ? kModels : kMostModels)) break;
      if (!DrawDims()) continue;
      DrawChoices(proof_.models);
      ProveModel();
      if (!faults_.empty()) break;
      ++proof_.models;
      CountUnused();
    }
    if (faults_.empty() && proof_.models < kModels) {
      faults_.emplace_back("no small model satisfies the expressions under [dims]");
    }
    if (faults_.empty()) return proof_;
    return Fail(Error{Code::kBadInput,
                      fmt::format("family {} does not hold together", family_.name()),
                      SomeFaults(),
                      {{"file", family_.file()}},
                      "mend the rows named above; models/README.md tells the language"});
  }

 private:
  /// Each fault once, in the order found.
  std::vector<std::string> SomeFaults() const {
    std::vector<std::string> some;
    for (const std::string& fault : faults_) {
      if (some.size() == kMaxFaults) break;
      if (std::find(some.begin(), some.end(), fault) == some.end()) some.push_back(fault);
    }
    return some;
  }

  void CountUnused() {
    proof_.unused_cells = 0;
    for (const Row& row : family_.rows()) {
      for (const Cell& cell : row.cells) proof_.unused_cells += used_.contains(&cell) ? 0 : 1;
    }
  }

  /// Random extents; false where an expression refuses them. Dimensions as served are random too:
  /// axes are cut, kept and padded in turn.
  bool DrawDims() {
    model_.dims.clear();
    for (const DimRule& rule : family_.table().dims) {
      const uint64_t most = rule.name == "L" ? kMaxLayers : kMaxExtent;
      uint64_t value = rule.constant.value_or(1 + random_() % most);
      if (rule.expr) {
        const Result<uint64_t> result =
            rule.expr->EvaluateUnsigned(Scope{model_.dims, std::nullopt}, Division::kExact);
        if (!result || *result == 0) return false;
        value = *result;
      }
      model_.dims[rule.name] = value;
    }
    return true;
  }

  /// Each value of a choice in turn.
  void DrawChoices(size_t model) {
    model_.facts.clear();
    for (const auto& [name, choice] : family_.table().choices) {
      auto value = choice.values.begin();
      std::advance(value, model % choice.values.size());
      model_.facts[name] = value->first;
    }
  }

  void ProveModel() {
    std::vector<SmallScheme> schemes;
    for (const std::string& scheme : family_.schemes()) {
      schemes.push_back(LayOut(family_, model_, scheme, faults_));
      used_.insert(schemes.back().cells.begin(), schemes.back().cells.end());
    }
    for (const Row& row : family_.rows()) {
      for (const Cell& cell : row.cells) ProveValue(row, cell);
    }
    if (!faults_.empty()) return;
    for (size_t a = 0; a < schemes.size(); ++a) {
      for (size_t b = 0; b < schemes.size(); ++b) {
        if (a != b) ProvePair(a, schemes[a], b, schemes[b]);
      }
    }
  }

  void ProvePair(size_t a, const SmallScheme& from, size_t b, const SmallScheme& to) {
    for (const auto& [key, sources] : from.roles) {
      const auto targets = to.roles.find(key);
      if (targets == to.roles.end()) continue;
      for (const Placed& source : sources) {
        for (const Placed& target : targets->second) {
          if (ProveTensors(source, target)) continue;
          faults_.push_back(fmt::format("role {}: {} to {} and back loses elements",
                                        family_.rows()[key.first].role.text(), family_.schemes()[a],
                                        family_.schemes()[b]));
        }
      }
    }
  }

  bool ProveTensors(const Placed& source, const Placed& target) {
    const std::optional<std::pair<View, View>> views = Align(source, target);
    if (!views) return true;
    const Mapping there = Compose(views->first, views->second);
    const Mapping back = Compose(views->second, views->first);
    const std::vector<uint32_t>& original = source.tensor->numbers;
    std::vector<uint32_t> converted(target.tensor->numbers.size());
    ForEachPair(there, [&](uint64_t x, uint64_t y) { converted.at(y) = original.at(x); });
    std::vector<uint32_t> returned(original.size());
    ForEachPair(back, [&](uint64_t y, uint64_t x) { returned.at(x) = converted.at(y); });
    const uint64_t held = CountHeld(views->second, target.tensor->numbers, converted);
    const uint64_t kept = CountHeld(views->first, original, returned);
    uint64_t elements = 1;
    for (const uint64_t extent : views->first.extents) elements *= extent;
    proof_.elements += elements;
    return held == elements && kept == elements;
  }

  /// How many elements of the view are in `numbers` where `expected` has them.
  static uint64_t CountHeld(const View& view, const std::vector<uint32_t>& expected,
                            const std::vector<uint32_t>& numbers) {
    uint64_t count = 0;
    ForEachPair(Compose(view, view),
                [&](uint64_t x, uint64_t) { count += numbers.at(x) == expected.at(x) ? 1 : 0; });
    return count;
  }

  void ProveValue(const Row& row, const Cell& cell) {
    if (!cell.value) return;
    const Result<ValueProgram> program = cell.value->Evaluate(Scope{model_.dims, std::nullopt});
    const std::string what = !program ? program.error().what
                                      : ReturnFault(*program, Inverse(*program), IsExact(*program));
    if (what.empty()) return;
    faults_.push_back(fmt::format("role {}, scheme {}: {}", row.role.text(), cell.scheme, what));
  }

  /// What is wrong with a value's way there and back; "" for nothing.
  static std::string ReturnFault(const ValueProgram& there, const ValueProgram& back,
                                 bool is_exact) {
    if (!back.empty() && (!Then(there, back).empty() || !Then(back, there).empty())) {
      return "its arithmetic and the inverse do not cancel";
    }
    // A value that was 0 shows what sums there are to round.
    const float at_zero = std::fabs(ApplyValue(back, 0));
    for (int bits = kLeastValue; bits <= kMostValue; ++bits) {
      const float x = ToF32(BF16{static_cast<uint16_t>(bits)});
      const float returned = ApplyValue(back, ApplyValue(there, x));
      const bool is_back =
          is_exact ? returned == x : std::fabs(returned - x) <= kTolerance * (x + at_zero);
      if (!is_back) return fmt::format("a value {} comes back as {}", x, returned);
    }
    return {};
  }

  const Family& family_;
  std::mt19937_64 random_{1};  // one seed: a proof says the same every time
  SmallModel model_;
  std::set<const Cell*> used_;
  FamilyProof proof_;
  std::vector<std::string> faults_;
};

}  // namespace

Result<FamilyProof> CheckFamily(const Family& family) { return Prover(family).Run(); }

}  // namespace ckpt
