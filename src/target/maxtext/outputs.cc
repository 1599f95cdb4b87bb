#include "target/maxtext/outputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/text.h"
#include "plan/chunk_box.h"

namespace ckpt::maxtext {
namespace {

constexpr std::string_view kScannedScheme = "maxtext";
constexpr std::string_view kUnscannedScheme = "maxtext-unscanned";
constexpr std::string_view kQuantizedClass = "linear";

std::vector<PathKey> Keys(std::span<const std::string> names) {
  std::vector<PathKey> keys;
  for (const std::string& name : names) keys.push_back({name, false});
  return keys;
}

// The array's axis names in the order in which the role's hf cell has them.
std::vector<std::string> HfOrder(const ChunkedSlice& slice) {
  std::vector<std::string> order;
  for (const size_t axis : slice.array_axis) {
    const std::string& name = slice.tensor_axes[axis].name;
    if (std::find(order.begin(), order.end(), name) == order.end()) order.push_back(name);
  }
  return order;
}

class TreeBuilder {
 public:
  TreeBuilder(const Model& model, const Mesh& mesh) : model_(model), mesh_(mesh) {}

  // The array with this path; made on first sight.
  size_t ArrayAt(std::vector<PathKey> path, DType dtype, const CellInstance& cell,
                 const ChunkedSlice& slice) {
    const std::string name = JoinPath(path);
    const auto [found, is_new] = index_.try_emplace(name, output_.arrays.size());
    if (!is_new) return found->second;
    ChunkedArray array;
    array.path = std::move(path);
    array.name = name;
    array.dtype = dtype;
    array.shape = cell.view.tensor;
    array.chunk = ChunkGrid(cell.tensor_axes, HfOrder(slice), mesh_);
    output_.arrays.push_back(std::move(array));
    return found->second;
  }

  ChunkedSlice SliceOf(size_t role, const CellInstance& cell) const {
    const BoundRole& bound = model_.roles[role];
    ChunkedSlice slice;
    slice.role = role;
    slice.view = cell.view;
    slice.tensor_axes = cell.tensor_axes;
    slice.array_axis = TensorAxesOf(bound.instance.axes, cell.view, cell.tensor_axes);
    slice.layer_axis = cell.layer_axis;
    slice.layer_index = cell.layer_index;
    slice.reduce = cell.reduce;
    slice.value = Then(bound.value, cell.value);
    return slice;
  }

  Result<void> AddConstants(std::string_view scheme) {
    CKPT_TRY(const Constants constants, ConstantsIn(model_, scheme));
    for (const Constant& constant : constants.values) {
      ChunkedArray array;
      array.path = Keys(Split(constant.name, '/'));
      array.name = constant.name;
      array.dtype = constant.dtype;
      array.shape = constant.shape;
      array.chunk = constant.shape.extents;
      array.making = ChunkMaking::kConstant;
      array.is_scalar = constant.shape.rank() == 0;
      const uint32_t bytes = ElementBytes(constant.dtype);
      for (uint64_t i = 0; i < constant.shape.Elements().value_or(0); ++i) {
        for (uint32_t b = 0; b < bytes; ++b)
          array.bytes += static_cast<char>(static_cast<uint64_t>(constant.value) >> (8 * b));
      }
      output_.arrays.push_back(std::move(array));
    }
    for (const EmptyNode& node : constants.empty_nodes)
      output_.placeholders.push_back({Keys(Split(node.name, '/')), node.kind});
    return {};
  }

  void AddSlice(size_t array, ChunkedSlice slice) {
    slice.array = array;
    output_.slices.push_back(std::move(slice));
  }

  ChunkedOutput& output() { return output_; }

 private:
  const Model& model_;
  const Mesh& mesh_;
  ChunkedOutput output_;
  std::map<std::string, size_t> index_;
};

// The quantized kernel, its scales, and the nodes that stand beside them.
Result<void> AddQuantized(TreeBuilder& tree, size_t role, const CellInstance& cell,
                          const QuantizedOutput& type, QuantLayout layout) {
  const std::vector<std::string> kernel = Split(cell.name, '/');
  if (kernel.size() < 3 || kernel.back() != "kernel")
    return Fail(Code::kUsage,
                fmt::format("\"{}\" cannot be quantized: no quantized form of a mixture of experts "
                            "is known that a server loads",
                            cell.name),
                "leave the quantized outputs out");
  ChunkedSlice slice = tree.SliceOf(role, cell);
  const size_t array = tree.ArrayAt(QuantizedValuePath(kernel, layout), type.dtype, cell, slice);
  const size_t scales = tree.output().arrays.size();
  ChunkedArray scale;
  scale.path = QuantizedScalePath(kernel, layout);
  scale.name = JoinPath(scale.path);
  scale.dtype = DType::kBF16;
  scale.shape = cell.view.tensor;
  for (const uint64_t axis : cell.reduce) scale.shape.extents[slice.array_axis[axis]] = 1;
  scale.chunk = scale.shape.extents;
  scale.making = ChunkMaking::kScales;
  scale.scales_of = array;
  tree.output().arrays.push_back(std::move(scale));
  ChunkedArray& made = tree.output().arrays[array];
  made.making = ChunkMaking::kQuantize;
  made.quant = type.type;
  made.scales = scales;
  tree.AddSlice(array, std::move(slice));
  for (Placeholder& placeholder : QuantizedPlaceholders(kernel, layout))
    tree.output().placeholders.push_back(std::move(placeholder));
  return {};
}

}  // namespace

Result<ChunkedOutput> FloatOutput(const Model& model, bool is_scanned, DType dtype,
                                  const Mesh& mesh) {
  const std::string_view scheme = is_scanned ? kScannedScheme : kUnscannedScheme;
  TreeBuilder tree(model, mesh);
  for (size_t role = 0; role < model.roles.size(); ++role) {
    CKPT_TRY(const std::optional<CellInstance> cell,
             CellIn(model, model.roles[role].instance, scheme));
    if (!cell) continue;
    ChunkedSlice slice = tree.SliceOf(role, *cell);
    if (dtype == DType::kF32) slice.value = InF32(slice.value);
    const size_t array = tree.ArrayAt(Keys(Split(cell->name, '/')), dtype, *cell, slice);
    tree.AddSlice(array, std::move(slice));
  }
  CKPT_TRY_VOID(tree.AddConstants(scheme));
  return std::move(tree.output());
}

Result<ChunkedOutput> QuantizedTree(const Model& model, const QuantizedOutput& type,
                                    QuantLayout layout, const Mesh& mesh) {
  TreeBuilder tree(model, mesh);
  for (size_t role = 0; role < model.roles.size(); ++role) {
    CKPT_TRY(const std::optional<CellInstance> cell,
             CellIn(model, model.roles[role].instance, kUnscannedScheme));
    if (!cell) continue;
    if (cell->quantize == kQuantizedClass) {
      CKPT_TRY_VOID(AddQuantized(tree, role, *cell, type, layout));
      continue;
    }
    ChunkedSlice slice = tree.SliceOf(role, *cell);
    const size_t array =
        tree.ArrayAt(PlainPath(Split(cell->name, '/'), layout), DType::kBF16, *cell, slice);
    tree.AddSlice(array, std::move(slice));
  }
  return std::move(tree.output());
}

}  // namespace ckpt::maxtext
