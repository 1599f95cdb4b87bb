// A source understood. The steps: which family and scheme, which dimensions, then one pass over the
// table's rows that looks up each role's tensor, and one over the source's tensors that accounts
// for those no role has asked for.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/checked.h"
#include "base/text.h"
#include "model/account.h"
#include "model/config.h"
#include "model/detect.h"
#include "model/dims.h"
#include "model/family.h"
#include "model/layers.h"
#include "model/model.h"
#include "model/ties.h"

namespace ckpt {
namespace {

class Binder {
 public:
  Binder(Model& model, const Catalog& catalog, const SourceConfig* config)
      : model_(model),
        family_(*model.family),
        catalog_(catalog),
        config_(config),
        config_name_(config == nullptr ? "the shapes" : config->object),
        usage_(catalog.tensors.size()) {
    for (size_t i = 0; i < catalog.tensors.size(); ++i) index_[catalog.tensors[i].name] = i;
  }

  Result<void> Run() {
    CKPT_TRY(const std::set<uint64_t> layers, FindLayers(family_, model_.source_scheme, model_.dims,
                                                         catalog_, config_name_, account_));
    const std::vector<Row>& rows = family_.rows();
    for (size_t i = 0; i < rows.size();) {
      if (!rows[i].role.HasSlots()) {
        CKPT_TRY_VOID(BindRow(i++, std::nullopt));
        continue;
      }
      size_t end = i;
      while (end < rows.size() && rows[end].role.HasSlots()) ++end;
      for (const uint64_t layer : layers) {
        for (size_t row = i; row < end; ++row) {
          CKPT_TRY_VOID(BindRow(row, layer));
        }
      }
      i = end;
    }
    // All that could claim a tensor has done so.
    for (size_t i = 0; i < catalog_.tensors.size(); ++i) CheckTensor(i);
    if (account_.empty()) return {};
    return Failure();
  }

 private:
  Result<void> BindRow(size_t row_number, std::optional<uint64_t> layer) {
    const Row& row = family_.rows()[row_number];
    const Scope scope{model_.dims, layer};
    CKPT_TRY(const Cell* const cell, family_.FindCell(row, model_.source_scheme, scope));
    if (cell == nullptr) return {};
    BoundRole bound;
    bound.instance.row = row_number;
    bound.instance.layer = layer;
    CKPT_TRY(bound.instance.role, row.role.Render(scope));
    CKPT_TRY(bound.instance.axes, AxesOf(row, model_.dims));
    CKPT_TRY(const std::string name, cell->name.Render(scope));
    const auto found = index_.find(name);
    if (found == index_.end()) {
      if (row.tied && AbsentMeansTied(*row.tied, config_))
        return BindTied(*row.tied, std::move(bound));
      if (!cell->is_optional) AddMissing(row, *cell, name, layer);
      return {};
    }
    if (row.tied) WarnIfTied(*row.tied, name);
    bound.tensor = found->second;
    usage_[bound.tensor].is_asked_for = true;
    const Result<View> view = ViewOf(*cell, bound.instance.axes, scope);
    usage_[bound.tensor].has_fault |= !view || view->tensor != catalog_.tensors[bound.tensor].shape;
    if (!view) {
      account_.Add(name, cell->name.text(), layer, view.error().what);
    } else if (view->tensor != catalog_.tensors[bound.tensor].shape) {
      AddWrongShape(*cell, name, layer, catalog_.tensors[bound.tensor].shape, view->tensor);
    } else {
      bound.view = *view;
      Claim(bound);
      model_.roles.push_back(std::move(bound));
    }
    return {};
  }

  Result<View> ViewOf(const Cell& cell, std::span<const Axis> axes, const Scope& scope) const {
    CKPT_TRY(const Layout* const layout, family_.FindLayout(cell, model_.facts));
    return BuildView(*layout, axes, scope);
  }

  Result<void> BindTied(const Tie& tie, BoundRole bound) {
    const Row* const other = family_.FindRow(tie.role);
    const Scope scope{model_.dims, std::nullopt};
    CKPT_TRY(const Cell* const cell, family_.FindCell(*other, model_.source_scheme, scope));
    if (cell == nullptr) return {};
    CKPT_TRY(const std::string name, cell->name.Render(scope));
    const auto found = index_.find(name);
    if (found == index_.end()) return {};  // the other role is reported as missing
    CKPT_TRY(bound.view, ViewOf(*cell, bound.instance.axes, scope));
    bound.tensor = found->second;
    bound.tied_to = tie.role;
    model_.roles.push_back(std::move(bound));
    return {};
  }

  void WarnIfTied(const Tie& tie, const std::string& name) {
    if (!ConfigTies(tie, config_)) return;
    model_.warnings.push_back(
        fmt::format("{} ties {} to {} ({}), but the source stores it: the stored tensor is used",
                    config_name_, name, tie.role, *TieKey(tie, config_)));
  }

  void AddMissing(const Row& row, const Cell& cell, const std::string& name,
                  std::optional<uint64_t> layer) {
    std::string what = "missing";
    if (row.tied && TieKey(*row.tied, config_) != nullptr) {
      what += fmt::format(", and {} does not tie it ({} is not true)", config_name_,
                          *TieKey(*row.tied, config_));
    }
    account_.Add(name, cell.name.text(), layer, what);
    if (missing_.size() < kMaxHints) missing_.push_back(name);
  }

  void AddWrongShape(const Cell& cell, const std::string& name, std::optional<uint64_t> layer,
                     const Shape& found, const Shape& expected) {
    std::string what = fmt::format("shape {}, expected {} from {}", ToString(found),
                                   ToString(expected), config_name_);
    if (cell.shard_axis && IsOneShard(*cell.shard_axis, found, expected)) {
      what += fmt::format(": {} of {} along axis {}: shard missing?", found[*cell.shard_axis],
                          expected[*cell.shard_axis], *cell.shard_axis);
    }
    account_.Add(name, cell.name.text(), layer, what);
  }

  static bool IsOneShard(size_t axis, Shape found, const Shape& expected) {
    if (found.rank() != expected.rank()) return false;
    uint64_t& extent = found.extents[axis];
    const uint64_t whole = expected[axis];
    if (extent == 0 || extent >= whole || whole % extent != 0) return false;
    extent = whole;
    return found == expected;
  }

  void Claim(const BoundRole& bound) {
    Usage& usage = usage_[bound.tensor];
    const std::optional<uint64_t> elements = CheckedProduct(bound.view.extents);
    usage.elements += elements.value_or(0);
  }

  void CheckTensor(size_t tensor) {
    const TensorEntry& entry = catalog_.tensors[tensor];
    const Usage& usage = usage_[tensor];
    if (usage.is_asked_for && !usage.has_fault && entry.shape.Elements() != usage.elements) {
      account_.Add(entry.name, entry.name, std::nullopt,
                   fmt::format("roles use {} of its elements, shape {}", usage.elements,
                               ToString(entry.shape)));
    }
    if (usage.is_asked_for) return;
    const auto applies = [&](const NameRule& rule) {
      return rule.scheme == model_.source_scheme && MatchesGlob(rule.name, entry.name);
    };
    const FamilyTable& table = family_.table();
    if (std::any_of(table.ignored.begin(), table.ignored.end(), applies)) {
      model_.ignored.push_back(entry.name);
      return;
    }
    const auto refused = std::find_if(table.refused.begin(), table.refused.end(), applies);
    if (refused != table.refused.end()) {
      const auto [pattern, layer] = Generalize(entry.name);
      account_.Add(entry.name, pattern, layer, refused->text);
    } else if (!IsBeyondLayers(family_, model_.source_scheme, model_.dims, entry.name)) {
      AddUnknown(entry.name);
    }
  }

  void AddUnknown(const std::string& name) {
    const auto [pattern, layer] = Generalize(name);
    std::string what = fmt::format("family {} knows no such tensor", family_.name());
    const std::string near = Nearest(name, missing_);
    if (!near.empty()) what += fmt::format("; did you mean {}?", near);
    account_.Add(name, pattern, layer, what);
  }

  /// "model.layers.3.x" -> "model.layers.{l}.x" and 3: unknown names that differ in a number are
  /// one line.
  static std::pair<std::string, std::optional<uint64_t>> Generalize(const std::string& name) {
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      const size_t end = std::min(name.find_first_not_of("0123456789", dot + 1), name.size());
      const size_t digits = end - dot - 1;
      if (digits == 0 || digits > 9 || end == name.size() || name[end] != '.') continue;
      return {name.substr(0, dot + 1) + "{l}" + name.substr(end),
              std::stoull(name.substr(dot + 1, digits))};
    }
    return {name, std::nullopt};
  }

  tl::unexpected<Error> Failure() const {
    Error error{Code::kBadInput,
                fmt::format("the tensors do not fit family {} (names of scheme {})", family_.name(),
                            model_.source_scheme),
                account_.Lines(),
                {},
                "fetch the files that are missing or damaged again, use the configuration that "
                "belongs to these weights, or describe the model with --family FILE.toml"};
    error.where.push_back({"file", config_ == nullptr ? catalog_.root.Print()
                                                      : catalog_.root.PrintBelow(config_->object)});
    return Fail(std::move(error));
  }

  static constexpr size_t kMaxHints = 200;  // missing names kept to guess at misspelt ones

  struct Usage {
    uint64_t elements = 0;
    bool is_asked_for = false;  // by a role, even where its shape was wrong
    bool has_fault = false;     // which is reported already
  };

  Model& model_;
  const Family& family_;
  const Catalog& catalog_;
  const SourceConfig* config_;
  std::string config_name_;
  std::unordered_map<std::string_view, size_t> index_;  // name -> tensor; views into the catalog
  std::vector<Usage> usage_;
  std::vector<std::string> missing_;
  Account account_;
};

}  // namespace

Result<Model> BindModel(std::span<const std::shared_ptr<const Family>> families,
                        const Catalog& catalog, const BindOptions& options) {
  Model model;
  CKPT_TRY(model.family, DetectFamily(families, catalog, options.family));
  CKPT_TRY(model.source_scheme, DetectScheme(*model.family, catalog));
  const SourceConfig* const config = PickConfig(catalog, model.source_scheme);
  CKPT_TRY(model.dims, ReadDims(*model.family, model.source_scheme, catalog, config));
  model.facts = ReadFacts(*model.family, catalog, config);
  CKPT_TRY_VOID(Binder(model, catalog, config).Run());
  // Beyond this point every source tensor has a role or a rule, and every role a tensor of the
  // right shape.
  const bool is_tied = std::any_of(model.roles.begin(), model.roles.end(),
                                   [](const BoundRole& role) { return !role.tied_to.empty(); });
  model.facts["tied"] = is_tied ? "true" : "false";
  return model;
}

}  // namespace ckpt
