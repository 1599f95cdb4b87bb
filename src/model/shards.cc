#include "model/shards.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "base/checked.h"
#include "base/text.h"
#include "model/config.h"
#include "model/detect.h"

namespace ckpt {
namespace {

constexpr const char* kScheme = "meta";

class Joiner {
 public:
  Joiner(const Family& family, const SourceConfig& config, Catalog& catalog)
      : family_(family), config_(config), catalog_(catalog) {
    ReadKnown();
  }

  Result<void> Run() {
    const std::vector<TensorEntry>& first = catalog_.shards.front();
    std::vector<TensorEntry> joined;
    joined.reserve(first.size());
    for (size_t i = 0; i < first.size(); ++i) {
      const Cell* const cell = CellOf(first[i].name);
      if (cell == nullptr || first[i].shape.rank() < 2) {
        joined.push_back(first[i]);
        continue;
      }
      CKPT_TRY(const size_t axis, AxisOf(*cell, first[i]));
      joined.push_back(Join(i, axis, StepOf(*cell, first[i], axis)));
    }
    catalog_.tensors = std::move(joined);
    catalog_.shards.clear();
    WarnOfRepeats();
    return {};
  }

 private:
  // The dimensions that params.json tells, alone or by the table's expressions: a shard's shapes
  // are no model's.
  void ReadKnown() {
    const auto evaluate = [&](const std::optional<Expr>& expr) -> std::optional<uint64_t> {
      if (!expr) return std::nullopt;
      for (const std::string& name : expr->Names()) {
        if (!known_.contains(name)) return std::nullopt;
      }
      const auto value = expr->EvaluateUnsigned(Scope{known_, std::nullopt}, Division::kExact);
      return value ? std::optional(*value) : std::nullopt;
    };
    for (const DimRule& rule : family_.table().dims) {
      std::optional<uint64_t> extent = rule.constant;
      if (!extent) extent = evaluate(rule.expr);
      if (const ConfigValue* value = FindValue(config_, KeysFor(rule.keys, config_));
          !extent && value != nullptr) {
        const auto* const number = std::get_if<int64_t>(value);
        if (number != nullptr && *number > 0) extent = static_cast<uint64_t>(*number);
      }
      if (!extent) extent = evaluate(rule.fallback);
      if (extent) known_[rule.name] = *extent;
    }
  }

  const Cell* CellOf(const std::string& name) const {
    for (const Row& row : family_.rows()) {
      for (const Cell& cell : row.cells) {
        if (cell.scheme == kScheme && !cell.IsConstant() && cell.name.MatchName(name)) return &cell;
      }
    }
    return nullptr;
  }

  // What params.json says of a whole tensor's extent along an axis.
  std::optional<uint64_t> Expected(const Cell& cell, size_t axis) const {
    const std::vector<Layout::Term>& terms = cell.layouts[0].second.terms;
    if (axis >= terms.size() || terms[axis].axes.empty()) return std::nullopt;
    uint64_t extent = 1;
    for (const std::string& name : terms[axis].axes) {
      const auto found = known_.find(name);
      if (found == known_.end()) return std::nullopt;
      const auto product = CheckedMul(extent, found->second);
      if (!product) return std::nullopt;
      extent = *product;
    }
    return extent;
  }

  // The table's axis; else the only one along which all shards together give what params.json says.
  Result<size_t> AxisOf(const Cell& cell, const TensorEntry& tensor) const {
    if (cell.shard_axis && *cell.shard_axis < tensor.shape.rank()) return *cell.shard_axis;
    const uint64_t shards = catalog_.shards.size();
    std::vector<size_t> fitting;
    for (size_t axis = 0; axis < tensor.shape.rank(); ++axis) {
      bool fits = true;
      for (size_t k = 0; fits && k < tensor.shape.rank(); ++k) {
        const std::optional<uint64_t> expected = Expected(cell, k);
        const std::optional<uint64_t> whole = CheckedMul(tensor.shape[k], k == axis ? shards : 1);
        fits = whole && (!expected || *expected == *whole);
      }
      if (fits) fitting.push_back(axis);
    }
    if (fitting.size() == 1) return fitting[0];
    return Fail(
        {Code::kBadInput,
         fmt::format(
             "shape {} in each of {} shards: {} does not tell along which axis they are cut",
             ToString(tensor.shape), shards, config_.object),
         {},
         {{"tensor", Excerpt(tensor.name)},
          {"file", PrintObject(catalog_, tensor.pieces.front().object)}},
         "use the params.json that belongs to these weights, and all of its shards"});
  }

  // 1, or r where every r-th shard holds something new.
  size_t StepOf(const Cell& cell, const TensorEntry& tensor, size_t axis) {
    const std::optional<uint64_t> expected = Expected(cell, axis);
    const std::optional<uint64_t> sum = CheckedMul(tensor.shape[axis], catalog_.shards.size());
    if (!expected || !sum || *expected == 0 || *sum <= *expected || *sum % *expected != 0) return 1;
    const uint64_t step = *sum / *expected;
    if (catalog_.shards.size() % step != 0) return 1;
    ++repeated_;
    step_ = step;
    return step;
  }

  TensorEntry Join(size_t number, size_t axis, size_t step) const {
    TensorEntry joined = catalog_.shards.front()[number];
    const uint64_t part = joined.shape[axis];
    const uint64_t count = catalog_.shards.size() / step;
    joined.pieces.clear();
    for (uint64_t i = 0; i < count; ++i) {
      for (Piece piece : catalog_.shards[i * step][number].pieces) {
        piece.box.begin[axis] += i * part;
        piece.box.end[axis] += i * part;
        joined.pieces.push_back(std::move(piece));
      }
    }
    // Sizes of parts of files, so their sum fits.
    joined.shape.extents[axis] = count * part;
    joined.size_bytes *= count;
    return joined;
  }

  void WarnOfRepeats() {
    if (repeated_ == 0) return;
    catalog_.warnings.push_back(
        fmt::format("{} tensors are held {} times over by the shards (fewer key and value heads "
                    "than shards): of every {} "
                    "shards the first one's are taken",
                    repeated_, step_, step_));
  }

  const Family& family_;
  const SourceConfig& config_;
  Catalog& catalog_;
  Dims known_;
  size_t repeated_ = 0;
  uint64_t step_ = 1;
};

}  // namespace

Result<void> JoinShards(std::span<const std::shared_ptr<const Family>> families,
                        const std::string& forced_family, Catalog& catalog) {
  if (catalog.shards.empty()) return {};
  // The names of one shard are the model's.
  Catalog names;
  names.format = catalog.format;
  names.root = catalog.root;
  names.objects = catalog.objects;
  names.configs = catalog.configs;
  names.tensors = catalog.shards.front();
  CKPT_TRY(const std::shared_ptr<const Family> family,
           DetectFamily(families, names, forced_family));
  if (!family->HasScheme(kScheme))
    return Fail({Code::kBadInput,
                 fmt::format("family {} does not know how Meta's shards are cut", family->name()),
                 {},
                 {{"file", catalog.root.Print()}},
                 "name a safetensors release of this model"});
  const auto config = std::find_if(catalog.configs.begin(), catalog.configs.end(),
                                   [](const SourceConfig& each) { return each.kind == kScheme; });
  if (config == catalog.configs.end())
    return Fail({Code::kBadInput,
                 fmt::format("no {} beside the shards: family {} needs it to join them",
                             ConfigFile(kScheme), family->name()),
                 {},
                 {{"file", catalog.root.Print()}},
                 fmt::format("put the model's {} into the same folder", ConfigFile(kScheme))});
  return Joiner(*family, *config, catalog).Run();
}

}  // namespace ckpt
