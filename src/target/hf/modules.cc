#include "target/hf/modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/text.h"

namespace ckpt {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kLinear = "linear";
constexpr std::string_view kHead = "lm_head";
constexpr size_t kMostNames = 4;

// [O, I] as int64, little-endian: what an unpacked weight is.
std::string ShapeBytes(const Shape& shape) {
  std::string bytes;
  for (const uint64_t extent : shape.extents) {
    for (unsigned i = 0; i < 8; ++i)
      bytes += static_cast<char>(static_cast<unsigned char>(extent >> (8 * i)));
  }
  return bytes;
}

std::string ModuleOf(const std::string& name) {
  return name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name;
}

}  // namespace

// The head is a module of every model, of those too whose tensor is the embedding's: whoever
// ignores it has met something.
ModuleQuantizer::ModuleQuantizer(const Model& model, const CtScheme& scheme,
                                 const TargetSettings& settings, IgnoreList ignore)
    : model_(model),
      scheme_(scheme),
      settings_(settings),
      ignore_(std::move(ignore)),
      parallel_(model) {
  ignore_.Has(std::string(kHead));
}

bool ModuleQuantizer::IsQuantized(const std::string& module, const CellInstance& cell,
                                  const Shape& shape) {
  if (cell.quantize.empty()) return false;  // no Linear
  bool is_quantized = !ignore_.Has(module) && cell.quantize == kLinear;
  const GroupForm& group = scheme_.group;
  if (is_quantized && group.rows == 1 && group.columns > 0 && shape[1] % group.columns != 0) {
    ragged_.push_back(module);
    is_quantized = false;
  }
  if (!is_quantized) ignored_.push_back(module);
  return is_quantized;
}

// What a server loads as one: projections of a row that are read together, and all experts.
std::string ModuleQuantizer::GroupKey(const CellInstance& cell,
                                      const RoleInstance& instance) const {
  const std::string layer = instance.layer ? std::to_string(*instance.layer) : "";
  if (cell.parts_axis) return "experts of layer " + layer;
  const std::string& together = model_.family->table().rows[instance.row].together;
  return together.empty() ? "" : together + " of layer " + layer;
}

// Servers cut blocks of the fused weight: all but its last member must end at a block's border.
void ModuleQuantizer::NoteBlocks(const std::string& module, const Shape& shape,
                                 const RoleInstance& instance) {
  const std::vector<Row>& rows = model_.family->table().rows;
  const std::string& together = rows[instance.row].together;
  const bool is_last = together.empty() || instance.row + 1 >= rows.size() ||
                       rows[instance.row + 1].together != together;
  if (scheme_.group.rows > 1 && !is_last && shape[0] % scheme_.group.rows != 0)
    split_.push_back(module);
  if (scheme_.group.rows > 1 && shape[1] % scheme_.group.columns != 0) narrow_.push_back(module);
}

Result<std::vector<ArraySpec>> ModuleQuantizer::Quantize(ArraySpec weight, const CellInstance& cell,
                                                         const RoleInstance& instance,
                                                         size_t first) {
  const std::string module = ModuleOf(weight.name);
  const bool is_linear = !cell.quantize.empty();
  const bool is_quantized = is_linear && IsQuantized(module, cell, weight.shape);
  if (const std::string key = GroupKey(cell, instance); is_linear && !key.empty()) {
    Fused& fused = fused_[key];
    (is_quantized ? fused.quantized : fused.left).push_back(module);
  }
  if (!is_quantized) return std::vector<ArraySpec>{std::move(weight)};
  ++count_;
  has_experts_ |= cell.parts_axis.has_value();
  NoteBlocks(module, weight.shape, instance);
  parallel_.Take(scheme_.group, weight.shape, cell, instance);
  const GroupForm& group = scheme_.group;
  const Shape shape = weight.shape;
  const uint64_t groups = group.GroupsOf(shape[1]);
  const auto side = [&](std::string_view name, Encoding encoding, DType dtype, Shape extents) {
    ArraySpec array;
    array.name = fmt::format("{}.{}", module, name);
    array.dtype = dtype;
    array.shape = std::move(extents);
    array.encoding = encoding;
    array.role = weight.role;
    array.part = weight.part;
    array.scales_of = first;
    return array;
  };
  std::vector<ArraySpec> arrays(1);
  arrays.push_back(side("weight_scale", Encoding::kScales, DType::kBF16,
                        Shape{CeilDiv(shape[0], group.rows), groups}));
  if (group.is_packed) {
    const uint64_t per_word = 32 / static_cast<uint64_t>(group.bits);
    if (!group.is_symmetric)
      arrays.push_back(side("weight_zero_point", Encoding::kZeroPoints, DType::kI32,
                            Shape{CeilDiv(shape[0], per_word), groups}));
    arrays.push_back(side("weight_shape", Encoding::kConstant, DType::kI64, Shape{2}));
    arrays.back().constant = ShapeBytes(shape);
    weight.name = module + ".weight_packed";
    weight.dtype = DType::kI32;
    weight.shape = Shape{shape[0], CeilDiv(shape[1], per_word)};
  } else {
    weight.dtype = group.is_float ? DType::kF8E4M3 : DType::kI8;
  }
  weight.encoding = Encoding::kQuantGroups;
  weight.bits = group.bits;
  weight.group = group;
  weight.group.is_quotient_rounded = settings_.is_quotient_rounded;
  arrays.front() = std::move(weight);
  return arrays;
}

Result<void> ModuleQuantizer::Check() const {
  for (const auto& [key, fused] : fused_) {
    if (fused.quantized.empty() || fused.left.empty()) continue;
    return Fail(
        Code::kUsage,
        fmt::format("{}: servers load these as one, so that all of them must be quantized "
                    "or none: {} would be, {} not",
                    key, ListSome(fused.quantized, kMostNames), ListSome(fused.left, kMostNames)),
        "ignore all of them, or none");
  }
  if (count_ == 0)
    return Fail(Code::kUsage, "nothing would be quantized: every Linear is ignored or cannot be",
                "leave out --quantize, or ignore less");
  return {};
}

std::vector<std::string> ModuleQuantizer::Ignored() const {
  std::vector<std::string> names = ignored_;
  if (std::find(names.begin(), names.end(), kHead) == names.end()) names.emplace_back(kHead);
  return names;
}

std::vector<std::string> ModuleQuantizer::Warnings() const {
  std::vector<std::string> warnings(scheme_.notes.begin(), scheme_.notes.end());
  if (has_experts_ && !scheme_.experts_note.empty()) warnings.emplace_back(scheme_.experts_note);
  if (!ragged_.empty())
    warnings.push_back(
        fmt::format("{} modules stay in bf16, as their rows are no whole groups of "
                    "{}: {}",
                    ragged_.size(), scheme_.group.columns, ListSome(ragged_, kMostNames)));
  if (!split_.empty())
    warnings.push_back(fmt::format(
        "{} modules end inside a block of {} rows, and servers load them fused with others: vLLM "
        "refuses that: {}",
        split_.size(), scheme_.group.rows, ListSome(split_, kMostNames)));
  if (!narrow_.empty())
    warnings.push_back(fmt::format(
        "{} modules have inputs that are no whole blocks of {}: transformers runs them only "
        "dequantized, with CompressedTensorsConfig(dequantize=True), and servers may refuse them "
        "(--ignore leaves them in bf16): {}",
        narrow_.size(), scheme_.group.columns, ListSome(narrow_, kMostNames)));
  if (const std::vector<std::string> unused = ignore_.Unused(); !unused.empty())
    warnings.push_back(fmt::format("--ignore meets no module: {}", ListSome(unused, kMostNames)));
  return warnings;
}

}  // namespace ckpt
