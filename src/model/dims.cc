#include "model/dims.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "model/config.h"

namespace ckpt {
namespace {

class DimReader {
 public:
  DimReader(const Family& family, std::string scheme, const Catalog& catalog,
            const SourceConfig* config, const ServedModel* served)
      : family_(family),
        scheme_(std::move(scheme)),
        catalog_(catalog),
        config_(config),
        served_(served) {}

  Result<Dims> Run() {
    for (const DimRule& rule : family_.table().dims) {
      const Result<std::optional<uint64_t>> value = Read(rule);
      if (!value) {
        faults_.push_back(fmt::format("{}: {}", rule.name, value.error().what));
        continue;
      }
      const std::optional<uint64_t>& extent = *value;
      if (extent && *extent > 0) dims_[rule.name] = *extent;
      if (extent && *extent == 0) faults_.push_back(fmt::format("{}: is 0", rule.name));
    }
    if (faults_.empty()) return std::move(dims_);
    return Failure();
  }

 private:
  /// Nothing where it follows from a dimension that failed: that one is reported.
  Result<std::optional<uint64_t>> Read(const DimRule& rule) {
    if (rule.constant) return rule.constant;
    if (rule.expr) return Evaluate(*rule.expr);
    if (!rule.served.empty()) return AsServed(rule.served);
    if (config_ != nullptr) {
      if (const ConfigValue* value = FindValue(*config_, KeysFor(rule.keys, *config_))) {
        CKPT_TRY(const std::optional<uint64_t> number, Number(rule, *value));
        if (number) return number;
      }
    }
    if (const std::optional<uint64_t> extent = FromShape(rule)) return extent;
    if (rule.fallback) return Evaluate(*rule.fallback);
    return Missing(rule);
  }

  /// Nothing for -1, by which a configuration says that it does not know.
  Result<std::optional<uint64_t>> Number(const DimRule& rule, const ConfigValue& value) const {
    const std::string key = FoundKey(rule);
    const auto* const number = std::get_if<int64_t>(&value);
    if (number != nullptr && *number == -1) return std::optional<uint64_t>();
    if (number == nullptr || *number < 1) {
      return Fail(Code::kBadInput, fmt::format("{} in {} is {}, a positive integer is expected",
                                               key, config_->object, Printable(AsText(value))));
    }
    return std::optional(static_cast<uint64_t>(*number));
  }

  std::string FoundKey(const DimRule& rule) const {
    for (const std::string& key : KeysFor(rule.keys, *config_)) {
      if (config_->values.contains(key)) return key;
    }
    return {};
  }

  Result<std::optional<uint64_t>> Evaluate(const Expr& expr) const {
    for (const std::string& name : expr.Names()) {
      if (!dims_.contains(name)) return std::optional<uint64_t>();
    }
    CKPT_TRY(const uint64_t value,
             expr.EvaluateUnsigned(Scope{dims_, std::nullopt}, Division::kExact));
    return std::optional(value);
  }

  tl::unexpected<Error> Missing(const DimRule& rule) const {
    if (config_ == nullptr) return Fail(Code::kBadInput, "no configuration tells it");
    const std::vector<std::string>& keys = KeysFor(rule.keys, *config_);
    if (keys.empty()) {
      return Fail(Code::kBadInput, fmt::format("{} has no key for it", config_->object));
    }
    return Fail(Code::kBadInput,
                fmt::format("{} has no {}", config_->object, fmt::join(keys, " or ")));
  }

  std::optional<uint64_t> AsServed(const std::string& dim) const {
    const auto extent = dims_.find(dim);
    if (extent == dims_.end()) return std::nullopt;
    return served_ == nullptr ? extent->second : ServedExtent(*served_, dim, extent->second);
  }

  /// The layers that a cell's names count, or its stack.
  std::optional<uint64_t> CountLayers(const Cell& cell) const {
    uint64_t count = 0;
    const Layout& layout = cell.layouts[0].second;
    const std::optional<size_t> stack = layout.LayerTerm();
    for (const TensorEntry& entry : catalog_.tensors) {
      const auto match = cell.name.MatchName(entry.name);
      if (match && match->layer) count = std::max(count, *match->layer + 1);
      if (!match || !stack || entry.shape.rank() != layout.terms.size()) continue;
      // Only a stack of all layers tells their number.
      if (layout.terms[*stack].whole->text() == "L") return entry.shape[*stack];
    }
    return count == 0 ? std::nullopt : std::optional(count);
  }

  std::optional<uint64_t> FromShape(const DimRule& rule) const {
    const Row* const row = family_.FindShapeRow(rule, scheme_);
    if (row == nullptr) return std::nullopt;
    for (const Cell& cell : row->cells) {
      if (cell.scheme != scheme_) continue;
      if (rule.name == "L") {
        if (const std::optional<uint64_t> layers = CountLayers(cell)) return layers;
        continue;
      }
      const auto entry = std::find_if(
          catalog_.tensors.begin(), catalog_.tensors.end(),
          [&](const TensorEntry& e) { return cell.name.MatchName(e.name).has_value(); });
      if (entry == catalog_.tensors.end()) continue;
      const std::vector<Layout::Term>& terms = cell.layouts[0].second.terms;
      if (entry->shape.rank() != terms.size()) continue;
      for (size_t i = 0; i < terms.size(); ++i) {
        if (!terms[i].whole && terms[i].axes == std::vector<std::string>{rule.name}) {
          return entry->shape[i];
        }
      }
    }
    return std::nullopt;
  }

  tl::unexpected<Error> Failure() const {
    Error error{Code::kBadInput, {}, faults_, {}, {}};
    if (config_ == nullptr) {
      const std::string file = ConfigFile(scheme_);
      error.what = fmt::format(
          "no {} beside the weights: family {} needs it, shapes do not tell "
          "all of its dimensions",
          file, family_.name());
      error.remedy = fmt::format("put the model's {} into the same folder", file);
      error.where.push_back({"file", catalog_.root.Print()});
      return Fail(std::move(error));
    }
    error.what = fmt::format("{} does not tell all dimensions of family {}", config_->object,
                             family_.name());
    error.remedy = "use the configuration that belongs to these weights";
    error.where.push_back({"file", catalog_.root.PrintBelow(config_->object)});
    return Fail(std::move(error));
  }

  const Family& family_;
  std::string scheme_;
  const Catalog& catalog_;
  const SourceConfig* config_;
  const ServedModel* served_;
  Dims dims_;
  std::vector<std::string> faults_;
};

std::string ReadFact(const FactRule& rule, const Catalog& catalog, const SourceConfig* config) {
  for (const auto& [name, value] : rule.tensors) {
    const auto has_name = [&, &wanted = name](const TensorEntry& e) { return e.name == wanted; };
    if (std::any_of(catalog.tensors.begin(), catalog.tensors.end(), has_name)) return value;
  }
  if (config == nullptr) return rule.fallback;
  const ConfigValue* const found = FindValue(*config, KeysFor(rule.keys, *config));
  if (found == nullptr) return rule.fallback;
  std::string text = AsText(*found);
  const auto renamed = rule.values.find(text);
  return renamed == rule.values.end() ? text : renamed->second;
}

}  // namespace

Result<Dims> ReadDims(const Family& family, const std::string& scheme, const Catalog& catalog,
                      const SourceConfig* config, const ServedModel* served) {
  return DimReader(family, scheme, catalog, config, served).Run();
}

uint64_t ServedExtent(const ServedModel& model, const std::string& dim, uint64_t extent) {
  const auto served = model.dims.find(dim);
  if (served == model.dims.end()) return extent;
  const auto has = [&](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), dim) != names.end();
  };
  // Padding completes a vocabulary; one that is far smaller is another model's.
  const bool is_padding = extent < served->second && served->second - extent <= served->second / 4;
  if (has(model.resized) && (extent >= served->second || is_padding)) return served->second;
  return has(model.cut) ? std::min(extent, served->second) : extent;
}

std::map<std::string, std::string> ReadFacts(const Family& family, const Catalog& catalog,
                                             const SourceConfig* config) {
  std::map<std::string, std::string> facts;
  for (const FactRule& rule : family.table().facts) {
    facts[rule.name] = ReadFact(rule, catalog, config);
  }
  return facts;
}

}  // namespace ckpt
