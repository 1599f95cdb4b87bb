#include "model/detect.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "model/config.h"

namespace ckpt {
namespace {

using FamilyPtr = std::shared_ptr<const Family>;

std::vector<std::string> NamesOf(std::span<const FamilyPtr> families) {
  std::vector<std::string> names;
  names.reserve(families.size());
  for (const FamilyPtr& family : families) names.push_back(family->name());
  return names;
}

std::vector<std::string> TensorNames(const Catalog& catalog) {
  std::vector<std::string> names;
  names.reserve(catalog.tensors.size());
  for (const TensorEntry& entry : catalog.tensors) names.push_back(entry.name);
  return names;
}

size_t CountKnown(const Family& family, std::string_view scheme, const Catalog& catalog) {
  const auto is_known = [&](const TensorEntry& entry) {
    for (const Row& row : family.rows()) {
      for (const Cell& cell : row.cells) {
        if (cell.scheme == scheme && cell.name.MatchName(entry.name)) return true;
      }
    }
    return false;
  };
  return static_cast<size_t>(
      std::count_if(catalog.tensors.begin(), catalog.tensors.end(), is_known));
}

/// Rows of the scheme that a source must have, and of which the catalog has no tensor.
size_t CountMissing(const Family& family, std::string_view scheme, const Catalog& catalog) {
  const auto is_missing = [&](const Row& row) {
    bool is_needed = false;
    for (const Cell& cell : row.cells) {
      if (cell.scheme != scheme || cell.is_optional || cell.IsConstant() || row.tied) continue;
      is_needed = true;
      for (const TensorEntry& entry : catalog.tensors) {
        if (cell.name.MatchName(entry.name)) return false;
      }
    }
    return is_needed;
  };
  return static_cast<size_t>(std::count_if(family.rows().begin(), family.rows().end(), is_missing));
}

/// How well a family's names fit: many tensors known, then few of its own missing.
struct Fit {
  size_t known = 0;
  size_t missing = SIZE_MAX;
  bool IsBetterThan(const Fit& other) const {
    return known != other.known ? known > other.known : missing < other.missing;
  }
};
Fit BestFit(const Family& family, const Catalog& catalog) {
  Fit best;
  for (const std::string& scheme : family.schemes()) {
    const Fit fit{CountKnown(family, scheme, catalog), CountMissing(family, scheme, catalog)};
    if (fit.IsBetterThan(best)) best = fit;
  }
  return best;
}

/// All values of a key: of the key itself, or of the list under it.
std::vector<std::string> ValuesOf(const SourceConfig& config, const std::string& key) {
  std::vector<std::string> values;
  if (const auto one = config.values.find(key); one != config.values.end()) {
    values.push_back(AsText(one->second));
  }
  for (size_t i = 0;; ++i) {
    const auto element = config.values.find(fmt::format("{}.{}", key, i));
    if (element == config.values.end()) return values;
    values.push_back(AsText(element->second));
  }
}

/// What a configuration says of the family: the key that decided, its values, and whether this
/// family is meant.
struct Verdict {
  std::string key;
  std::vector<std::string> values;
  bool is_match = false;
};
Verdict Judge(const Family& family, const SourceConfig& config) {
  const auto rules = family.table().detect.find(config.kind);
  if (rules == family.table().detect.end()) return {};
  for (const DetectRule& rule : rules->second) {
    Verdict verdict{rule.key, ValuesOf(config, rule.key), false};
    if (verdict.values.empty()) continue;
    verdict.is_match =
        std::find_first_of(verdict.values.begin(), verdict.values.end(), rule.values.begin(),
                           rule.values.end()) != verdict.values.end();
    return verdict;
  }
  return {};
}

Result<FamilyPtr> ByConfig(std::span<const FamilyPtr> families, const Catalog& catalog) {
  Verdict refusal;
  std::string object;
  for (const SourceConfig& config : catalog.configs) {
    for (const FamilyPtr& family : families) {
      Verdict verdict = Judge(*family, config);
      if (verdict.is_match) return family;
      if (verdict.values.empty() || !refusal.values.empty()) continue;
      refusal = std::move(verdict);
      object = config.object;
    }
  }
  if (refusal.values.empty()) return FamilyPtr();
  return Fail(Error{Code::kBadInput,
                    fmt::format("{} {} belongs to no known family ({})", refusal.key,
                                ListSome(refusal.values, 5), ListSome(NamesOf(families), 20)),
                    {},
                    {{"file", catalog.root.PrintBelow(object)}},
                    "--family NAME forces one; --family FILE.toml adds one"});
}

Result<FamilyPtr> ByNames(std::span<const FamilyPtr> families, const Catalog& catalog) {
  Fit best;
  std::vector<FamilyPtr> fitting;
  for (const FamilyPtr& family : families) {
    const Fit fit = BestFit(*family, catalog);
    // Names like "norm.weight" are everywhere: what most tensors say counts.
    if (fit.known * 2 < catalog.tensors.size() || best.IsBetterThan(fit)) continue;
    if (fit.IsBetterThan(best)) fitting.clear();
    best = fit;
    fitting.push_back(family);
  }
  if (fitting.size() == 1) return fitting[0];
  const std::vector<std::string> names = TensorNames(catalog);
  const std::string what = fitting.empty()
                               ? fmt::format("the tensors' names fit no known family ({})",
                                             ListSome(NamesOf(families), 20))
                               : fmt::format("the tensors' names fit several families: {}",
                                             ListSome(NamesOf(fitting), 20));
  Error error{Code::kBadInput,
              what,
              {fmt::format("tensors: {}", ListSome(names, 5))},
              {{"file", catalog.root.Print()}},
              "put the model's config.json or params.json beside the weights, or name --family"};
  return Fail(std::move(error));
}

}  // namespace

Result<FamilyPtr> DetectFamily(std::span<const FamilyPtr> families, const Catalog& catalog,
                               const std::string& forced) {
  if (!forced.empty()) {
    for (const FamilyPtr& family : families) {
      if (family->name() == forced) return family;
    }
    const std::vector<std::string> known = NamesOf(families);
    const std::string near = Nearest(forced, known);
    return Fail(
        Code::kUsage, fmt::format("there is no family \"{}\"", Printable(forced)),
        near.empty() ? "families: " + ListSome(known, 20) : fmt::format("did you mean {}?", near));
  }
  if (catalog.tensors.empty()) {
    return Fail(Error{Code::kBadInput,
                      "the source holds no tensors",
                      {},
                      {{"file", catalog.root.Print()}},
                      "name a folder of weights"});
  }
  CKPT_TRY(FamilyPtr family, ByConfig(families, catalog));
  if (family) return family;
  return ByNames(families, catalog);
}

Result<std::string> DetectScheme(const Family& family, const Catalog& catalog) {
  size_t best = 0;
  std::string best_scheme;
  for (const std::string& scheme : family.schemes()) {
    const size_t known = CountKnown(family, scheme, catalog);
    if (known <= best) continue;
    best = known;
    best_scheme = scheme;
  }
  if (best > 0) return best_scheme;
  const std::vector<std::string> names = TensorNames(catalog);
  return Fail(Error{Code::kBadInput,
                    fmt::format("no tensor has a name that family {} knows ({} tensors: {})",
                                family.name(), names.size(), ListSome(names, 5)),
                    {},
                    {{"file", catalog.root.Print()}},
                    fmt::format("schemes of the family: {}", ListSome(family.schemes(), 20))});
}

}  // namespace ckpt
