// CheckFamily. The idea: give every element of every role a number of its own, lay the numbers out
// in each scheme one by one as the views say, and hold the fast way (composed mappings) between
// each two schemes to that.
#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "model/family.h"
#include "model/view.h"

namespace ckpt {
namespace {

constexpr size_t kModels = 4;          // small models that a table must survive
constexpr size_t kMaxAttempts = 4000;  // random draws until the expressions allow one
constexpr uint64_t kMaxExtent = 8;
constexpr uint64_t kMaxElements = uint64_t{1} << 20;  // of one tensor; such a draw is thrown away
constexpr size_t kMaxFaults = 20;

/// One tensor of a small model in one scheme. Number 0: no role has claimed the element.
struct SmallTensor {
  Shape shape;
  std::vector<uint32_t> numbers;
};
/// Where one role lies in one scheme.
struct Placed {
  SmallTensor* tensor = nullptr;  // in the SmallScheme that holds this
  View view;
};
struct SmallScheme {
  std::map<std::string, SmallTensor> tensors;
  std::map<std::pair<size_t, uint64_t>, Placed> roles;  // (row, layer)
};

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

class Prover {
 public:
  explicit Prover(const Family& family) : family_(family) {}

  Result<FamilyProof> Run() {
    proof_.rows = family_.rows().size();
    proof_.schemes = family_.schemes().size();
    for (const Row& row : family_.rows()) {
      proof_.pairs += row.cells.size() * (row.cells.size() - 1);
    }
    for (size_t attempt = 0; attempt < kMaxAttempts && proof_.models < kModels; ++attempt) {
      if (!DrawDims()) continue;
      DrawChoices(proof_.models);
      ProveModel();
      if (!faults_.empty()) break;
      ++proof_.models;
    }
    if (faults_.empty() && proof_.models < kModels) {
      AddFault("no small model satisfies the expressions under [dims]");
    }
    if (faults_.empty()) return proof_;
    return Fail(Error{Code::kBadInput,
                      fmt::format("family {} does not hold together", family_.name()),
                      faults_,
                      {{"file", family_.file()}},
                      "mend the rows named above; models/README.md tells the language"});
  }

 private:
  void AddFault(std::string text) {
    if (std::find(faults_.begin(), faults_.end(), text) != faults_.end()) return;
    if (faults_.size() < kMaxFaults) faults_.push_back(std::move(text));
  }

  /// Random extents; false where an expression refuses them.
  bool DrawDims() {
    dims_.clear();
    for (const DimRule& rule : family_.table().dims) {
      uint64_t value = rule.constant.value_or(1 + random_() % kMaxExtent);
      if (rule.expr) {
        const Result<uint64_t> result =
            rule.expr->EvaluateUnsigned(Scope{dims_, std::nullopt}, Division::kExact);
        if (!result || *result == 0) return false;
        value = *result;
      }
      dims_[rule.name] = value;
    }
    return true;
  }

  /// Each value of a choice in turn.
  void DrawChoices(size_t model) {
    facts_.clear();
    for (const auto& [name, choice] : family_.table().choices) {
      auto value = choice.values.begin();
      std::advance(value, model % choice.values.size());
      facts_[name] = value->first;
    }
  }

  void ProveModel() {
    std::vector<SmallScheme> schemes(family_.schemes().size());
    for (size_t s = 0; s < schemes.size(); ++s) Lay(family_.schemes()[s], schemes[s]);
    if (!faults_.empty()) return;
    for (size_t a = 0; a < schemes.size(); ++a) {
      for (size_t b = 0; b < schemes.size(); ++b) {
        if (a != b) ProvePair(a, schemes[a], b, schemes[b]);
      }
    }
  }

  /// All roles of the model in one scheme, element by element.
  void Lay(const std::string& scheme, SmallScheme& out) {
    uint32_t next_number = 1;  // the same role has the same numbers in every scheme
    for (size_t r = 0; r < family_.rows().size(); ++r) {
      const Row& row = family_.rows()[r];
      const uint64_t layers = row.role.HasSlots() ? dims_.at("L") : 1;
      for (uint64_t l = 0; l < layers; ++l) {
        const Scope scope{dims_, row.role.HasSlots() ? std::optional(l) : std::nullopt};
        if (Result<void> laid = LayRole(r, l, scope, scheme, next_number, out); !laid) {
          AddFault(
              fmt::format("role {}, scheme {}: {}", row.role.text(), scheme, laid.error().what));
        }
        uint64_t elements = 1;
        for (const std::string& axis : row.axes) elements *= dims_.at(axis);
        next_number += static_cast<uint32_t>(elements);
      }
    }
    for (const auto& [name, tensor] : out.tensors) {
      const auto unclaimed = std::count(tensor.numbers.begin(), tensor.numbers.end(), 0U);
      if (unclaimed == 0) continue;
      AddFault(fmt::format("scheme {}: {} of the {} elements of {} belong to no role", scheme,
                           unclaimed, tensor.numbers.size(), name));
    }
  }

  Result<void> LayRole(size_t r, uint64_t layer, const Scope& scope, const std::string& scheme,
                       uint32_t first_number, SmallScheme& out) {
    const Row& row = family_.rows()[r];
    CKPT_TRY(const Cell* const cell, family_.FindCell(row, scheme, scope));
    if (cell == nullptr) return {};
    CKPT_TRY(const Layout* const layout, family_.FindLayout(*cell, facts_));
    CKPT_TRY(const std::string name, cell->name.Render(scope));
    CKPT_TRY(const std::vector<Axis> axes, AxesOf(row, dims_));
    CKPT_TRY(const View view, BuildView(*layout, axes, scope));
    const bool is_part = std::any_of(layout->terms.begin(), layout->terms.end(),
                                     [](const Layout::Term& term) { return term.whole; });
    if (is_part ? !IsInjective(view) : !IsBijection(view)) {
      return Fail(Code::kBadInput, fmt::format("layout \"{}\" is no bijection", layout->text));
    }
    const uint64_t elements = view.tensor.Elements().value_or(0);
    if (elements > kMaxElements) {
      return Fail(Code::kBadInput,
                  fmt::format("even a small model has a tensor of {} elements", elements));
    }
    SmallTensor& tensor = out.tensors[name];
    if (tensor.numbers.empty()) {
      tensor.shape = view.tensor;
      tensor.numbers.resize(elements);
    } else if (tensor.shape != view.tensor) {
      return Fail(Code::kBadInput, fmt::format("{} has another shape by another row", name));
    }
    CKPT_TRY_VOID(Claim(view, name, first_number, tensor));
    out.roles[{r, layer}] = {&tensor, view};
    return {};
  }

  /// Writes the role's numbers, by the definition of a view.
  static Result<void> Claim(const View& view, const std::string& name, uint32_t number,
                            SmallTensor& tensor) {
    std::vector<uint64_t> index(view.extents.size());
    for (;; ++number) {
      uint64_t element = view.offset;
      for (size_t k = 0; k < index.size(); ++k) element += index[k] * view.strides[k];
      if (tensor.numbers.at(element) != 0) {
        return Fail(
            Code::kBadInput,
            fmt::format("{} already belongs, in part or whole, to another role or layer", name));
      }
      tensor.numbers[element] = number;
      size_t k = index.size();
      while (k > 0 && ++index[k - 1] == view.extents[k - 1]) index[--k] = 0;
      if (k == 0) return {};
    }
  }

  void ProvePair(size_t a, const SmallScheme& from, size_t b, const SmallScheme& to) {
    for (const auto& [key, source] : from.roles) {
      const auto target = to.roles.find(key);
      if (target == to.roles.end()) continue;
      const Mapping there = Compose(source.view, target->second.view);
      const Mapping back = Compose(target->second.view, source.view);
      const std::vector<uint32_t>& original = source.tensor->numbers;
      std::vector<uint32_t> converted(target->second.tensor->numbers.size());
      ForEachPair(there, [&](uint64_t x, uint64_t y) { converted.at(y) = original.at(x); });
      std::vector<uint32_t> returned(original.size());
      ForEachPair(back, [&](uint64_t y, uint64_t x) { returned.at(x) = converted.at(y); });
      const uint64_t held = CountHeld(target->second, converted);
      const uint64_t kept = CountHeld(source, returned);
      uint64_t elements = 1;
      for (const uint64_t extent : source.view.extents) elements *= extent;
      if (held == elements && kept == elements) {
        proof_.elements += elements;
        continue;
      }
      AddFault(fmt::format("role {}: {} to {} and back loses elements",
                           family_.rows()[key.first].role.text(), family_.schemes()[a],
                           family_.schemes()[b]));
    }
  }

  /// How many elements of the role are in `numbers` where the role's own scheme has them.
  static uint64_t CountHeld(const Placed& role, const std::vector<uint32_t>& numbers) {
    uint64_t count = 0;
    ForEachPair(Compose(role.view, role.view), [&](uint64_t x, uint64_t) {
      count += numbers.at(x) == role.tensor->numbers.at(x) ? 1 : 0;
    });
    return count;
  }

  const Family& family_;
  std::mt19937_64 random_{1};  // one seed: a proof says the same every time
  Dims dims_;
  std::map<std::string, std::string> facts_;
  FamilyProof proof_;
  std::vector<std::string> faults_;
};

}  // namespace

Result<FamilyProof> CheckFamily(const Family& family) { return Prover(family).Run(); }

}  // namespace ckpt
