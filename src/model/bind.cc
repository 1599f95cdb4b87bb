// A source understood. The steps: which family and scheme, which dimensions, then one pass over the
// table's rows that looks up each role's tensor, and one over the source's tensors that accounts
// for those no role has asked for.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/check.h"
#include "base/checked.h"
#include "model/account.h"
#include "model/cell.h"
#include "model/config.h"
#include "model/detect.h"
#include "model/dims.h"
#include "model/family.h"
#include "model/layers.h"
#include "model/leftovers.h"
#include "model/model.h"
#include "model/served.h"
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
    if (cell == nullptr || cell->IsConstant()) return {};
    BoundRole bound;
    bound.instance.row = row_number;
    bound.instance.layer = layer;
    CKPT_TRY(bound.instance.role, row.role.Render(scope));
    CKPT_TRY(bound.instance.axes, AxesOf(row, model_.dims));
    const Result<CellInstance> filled =
        FillCell(family_, *cell, bound.instance.axes, scope, model_.facts);
    if (!filled) {
      CKPT_TRY(const std::string name, cell->name.Render(scope));
      account_.Add(name, cell->name.text(), layer, filled.error().what);
      if (const auto found = index_.find(name); found != index_.end()) {
        usage_[found->second].is_asked_for = usage_[found->second].has_fault = true;
      }
      return {};
    }
    std::vector<size_t> tensors;  // those of the role that are there
    const std::vector<std::string> names = filled->TensorNames();
    for (const std::string& name : names) {
      const auto found = index_.find(name);
      if (found != index_.end()) {
        tensors.push_back(found->second);
      } else if (row.tied && AbsentMeansTied(*row.tied, config_)) {
        return BindTied(*row.tied, std::move(bound));
      } else if (!cell->is_optional) {
        AddMissing(row, *cell, name, layer);
      }
    }
    if (tensors.empty()) return {};
    if (row.tied) WarnIfTied(*row.tied, filled->name);
    bool is_whole = tensors.size() == names.size();
    for (const size_t tensor : tensors) is_whole &= ClaimTensor(*cell, *filled, layer, tensor);
    if (!is_whole || !HasOneType(*cell, tensors, layer)) return {};
    FinishRole(*filled, std::move(tensors), bound);
    model_.roles.push_back(std::move(bound));
    return {};
  }

  /// A role whose tensors are all there and of the right shape.
  void FinishRole(const CellInstance& filled, std::vector<size_t> tensors, BoundRole& bound) const {
    bound.tensor = tensors.front();
    bound.view = filled.view;
    // What was stored wider than bf16 was made without rounding to it.
    const bool is_bf16 = catalog_.tensors[bound.tensor].dtype == DType::kBF16;
    bound.value = Inverse(is_bf16 ? filled.value : InF32(filled.value));
    if (!filled.parts_axis) return;
    bound.parts = std::move(tensors);
    bound.parts_axis = filled.parts_axis;
  }

  /// Marks the tensor as used by a cell; false, with a line in the account, for a wrong shape.
  bool ClaimTensor(const Cell& cell, const CellInstance& filled, std::optional<uint64_t> layer,
                   size_t tensor) {
    const TensorEntry& entry = catalog_.tensors[tensor];
    Usage& usage = usage_[tensor];
    usage.is_asked_for = true;
    if (filled.view.tensor != entry.shape) {
      usage.has_fault = true;
      AddWrongShape(cell, entry.name, layer, entry.shape, filled.view.tensor);
      return false;
    }
    const std::vector<Layout::Term>& terms = cell.layouts[0].second.terms;
    const bool is_resized = std::any_of(terms.begin(), terms.end(), [](const Layout::Term& term) {
      return term.resized.has_value();
    });
    // Of a resized axis the zeros at the end count as used.
    usage.elements += is_resized ? entry.shape.Elements().value_or(0)
                                 : CheckedProduct(filled.view.extents).value_or(0);
    return true;
  }

  bool HasOneType(const Cell& cell, const std::vector<size_t>& tensors,
                  std::optional<uint64_t> layer) {
    const DType first = catalog_.tensors[tensors.front()].dtype;
    for (const size_t tensor : tensors) {
      const TensorEntry& entry = catalog_.tensors[tensor];
      if (entry.dtype == first) continue;
      account_.Add(entry.name, cell.name.text(), layer,
                   fmt::format("holds {}, but {} holds {}", Name(entry.dtype),
                               catalog_.tensors[tensors.front()].name, Name(first)));
      return false;
    }
    return true;
  }

  Result<void> BindTied(const Tie& tie, BoundRole bound) {
    const Row* const other = family_.FindRow(tie.role);
    const Scope scope{model_.dims, std::nullopt};
    CKPT_TRY(const Cell* const cell, family_.FindCell(*other, model_.source_scheme, scope));
    if (cell == nullptr) return {};
    CKPT_TRY(const CellInstance filled,
             FillCell(family_, *cell, bound.instance.axes, scope, model_.facts));
    const auto found = index_.find(filled.name);
    if (found == index_.end()) return {};  // the other role is reported as missing
    FinishRole(filled, {found->second}, bound);
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

  void CheckTensor(size_t tensor) {
    const TensorEntry& entry = catalog_.tensors[tensor];
    const Usage& usage = usage_[tensor];
    if (usage.is_asked_for && !usage.has_fault && entry.shape.Elements() != usage.elements) {
      account_.Add(entry.name, entry.name, std::nullopt,
                   fmt::format("roles use {} of its elements, shape {}", usage.elements,
                               ToString(entry.shape)));
    }
    if (usage.is_asked_for) return;
    AccountForLeftover(entry.name, missing_, model_, account_);
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

/// The dimensions, the facts, and what the model's name makes of them.
Result<void> Settle(const Catalog& catalog, const SourceConfig* config, const BindOptions& options,
                    Model& model) {
  const Family& family = *model.family;
  Known known;
  known.has_config = config != nullptr;
  known.rope_layout = options.rope_layout;
  known.is_given = !options.model_name.empty();
  if (known.is_given) {
    CKPT_TRY(known.served, FindServed(family, options.model_name));
  }
  CKPT_TRY(model.dims, ReadDims(family, model.source_scheme, catalog, config, known.served));
  model.facts = ReadFacts(family, catalog, config);
  // An inferred name fits the sizes exactly, so it changes no dimension.
  if (!known.is_given) known.served = InferServed(model);
  NoteServed(known, model);
  return SettleChoices(known, model);
}

}  // namespace

Result<Model> BindModel(std::span<const std::shared_ptr<const Family>> families,
                        const Catalog& catalog, const BindOptions& options) {
  CKPT_CHECK(catalog.shards.empty());
  Model model;
  CKPT_TRY(model.family, DetectFamily(families, catalog, options.family));
  CKPT_TRY(model.source_scheme, DetectScheme(*model.family, catalog));
  const SourceConfig* const config = PickConfig(catalog, model.source_scheme);
  CKPT_TRY_VOID(Settle(catalog, config, options, model));
  CKPT_TRY_VOID(Binder(model, catalog, config).Run());
  // Beyond this point every source tensor has a role or a rule, and every role a tensor of the
  // right shape.
  const bool is_tied = std::any_of(model.roles.begin(), model.roles.end(),
                                   [](const BoundRole& role) { return !role.tied_to.empty(); });
  model.facts["tied"] = is_tied ? "true" : "false";
  return model;
}

}  // namespace ckpt
