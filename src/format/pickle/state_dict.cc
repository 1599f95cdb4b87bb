#include "format/pickle/state_dict.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/checked.h"
#include "base/text.h"
#include "format/pickle/machine.h"
#include "format/pickle/refusal.h"
#include "format/pickle/walk.h"

namespace ckpt::pickle {
namespace {

constexpr uint64_t kMostTensors = 1ULL << 22U;

class Collector {
 public:
  Collector(const Arena& arena, MemoryLeft& memory) : arena_(arena), memory_(memory) {}

  // All storages that the pickle names, whether tensors use them or not: in a legacy file each
  // takes its place.
  Result<void> AddStorages() {
    of_value_.reserve(arena_.storages.size());
    for (const StorageValue& value : arena_.storages) {
      const std::optional<uint64_t> bytes = CheckedMul(value.elements, value.type->element_bytes);
      if (!bytes)
        return NotPlain(value.byte,
                        fmt::format("storage {}: its size overflows", Excerpt(value.key)));
      const auto [at, is_new] =
          numbers_.try_emplace(value.key, static_cast<uint32_t>(dict_.storages.size()));
      if (is_new) {
        CKPT_TRY_VOID(memory_.Keep(3 * sizeof(Storage) + 64 + value.key.size()));
        dict_.storages.push_back(
            {std::string(value.key), value.elements, value.type->element_bytes, *bytes});
      } else if (dict_.storages[at->second].size_bytes != *bytes) {
        return NotPlain(
            value.byte,
            fmt::format("storage {} has {} bytes here and {} bytes elsewhere", Excerpt(value.key),
                        *bytes, dict_.storages[at->second].size_bytes));
      }
      of_value_.push_back(at->second);
    }
    return {};
  }

  Result<void> AddTensor(const std::string& name, const TensorValue& value) {
    if (dict_.tensors.size() == kMostTensors)
      return NotPlain(value.byte, fmt::format("more than {} tensors", kMostTensors));
    CKPT_TRY_VOID(
        memory_.Keep(3 * sizeof(Tensor) + name.size() + 2 * sizeof(uint64_t) * value.size.size()));
    Result<Tensor> tensor = Check(value);
    if (!tensor) return Fail(Where("tensor", Excerpt(name))(std::move(tensor).error()));
    tensor->name = name;
    dict_.tensors.push_back(*std::move(tensor));
    return {};
  }

  Result<StateDict> Take(uint64_t byte) && {
    std::vector<std::string_view> names;
    names.reserve(dict_.tensors.size());
    for (const Tensor& tensor : dict_.tensors) names.push_back(tensor.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end())
      return Result<StateDict>(NotPlain(byte, "this name stands for two tensors"))
          .map_error(Where("tensor", Excerpt(*twice)));
    return std::move(dict_);
  }

 private:
  Result<Tensor> Check(const TensorValue& value) const {
    const StorageValue& storage = arena_.storages[value.storage];
    if (storage.is_meta)
      return Damaged(value.byte, "the tensor has no data (it lay on the device \"meta\")",
                     "save the model after its weights are loaded");
    if (!value.type->dtype)
      return Damaged(value.byte, fmt::format("elements of type {} are not read", value.type->name),
                     "convert the tensor to another type and save it again");
    Tensor tensor;
    tensor.storage = of_value_[value.storage];
    tensor.dtype = *value.type->dtype;
    if (value.size.size() != value.stride.size())
      return NotPlain(value.byte, fmt::format("{} sizes but {} strides", value.size.size(),
                                              value.stride.size()));
    const auto is_negative = [](int64_t number) { return number < 0; };
    if (std::any_of(value.size.begin(), value.size.end(), is_negative))
      return NotPlain(value.byte, "a negative size");
    if (std::any_of(value.stride.begin(), value.stride.end(), is_negative) || value.offset < 0)
      return NotPlain(value.byte, "a negative stride or offset");
    tensor.shape.extents.assign(value.size.begin(), value.size.end());
    if (!TensorBytes(tensor.dtype, tensor.shape))
      return NotPlain(value.byte, fmt::format("the number of elements of shape {} overflows",
                                              ToString(tensor.shape)));
    CKPT_TRY_VOID(Place(value, storage, tensor));
    CKPT_TRY_VOID(CheckLazy(value, tensor));
    return tensor;
  }

  // Offset and strides in bytes, all elements inside the storage.
  static Result<void> Place(const TensorValue& value, const StorageValue& storage, Tensor& tensor) {
    const uint64_t element_bytes = value.type->element_bytes;
    const std::vector<uint64_t>& extents = tensor.shape.extents;
    uint64_t dense = element_bytes;
    bool is_dense = true;
    tensor.byte_strides.resize(extents.size());
    std::vector<uint64_t> dense_strides(extents.size());
    std::optional<uint64_t> last =
        static_cast<uint64_t>(value.offset);  // element; in units of the tensor's type
    for (size_t axis = extents.size(); axis-- > 0;) {
      const auto stride = static_cast<uint64_t>(value.stride[axis]);
      const std::optional<uint64_t> bytes = CheckedMul(stride, element_bytes);
      const std::optional<uint64_t> span =
          CheckedMul(stride, extents[axis] == 0 ? 0 : extents[axis] - 1);
      last = last && span && bytes ? CheckedAdd(*last, *span) : std::nullopt;
      tensor.byte_strides[axis] = bytes.value_or(0);
      dense_strides[axis] = dense;
      is_dense = is_dense && (extents[axis] <= 1 || bytes == dense);
      dense *= extents[axis];  // fits: TensorBytes has checked it
    }
    const bool is_empty = std::find(extents.begin(), extents.end(), 0U) != extents.end();
    if (is_empty) {
      tensor.byte_strides = std::move(dense_strides);
      return {};
    }
    const std::optional<uint64_t> end = last ? CheckedMul(*last + 1, element_bytes) : std::nullopt;
    const uint64_t view_bytes =
        storage.view_elements * storage.type->element_bytes;  // fits: AddStorages has checked it
    if (!end || *last == UINT64_MAX || *end > view_bytes)
      return NotPlain(value.byte,
                      fmt::format("the tensor reaches beyond its storage {} of {} bytes",
                                  Excerpt(storage.key), view_bytes));
    tensor.offset_bytes = storage.view_offset * storage.type->element_bytes +
                          static_cast<uint64_t>(value.offset) * element_bytes;
    if (is_dense) tensor.byte_strides = std::move(dense_strides);
    return {};
  }

  static Result<void> CheckLazy(const TensorValue& value, Tensor& tensor) {
    tensor.is_conjugated =
        value.is_conjugated && tensor.dtype == DType::kC64;  // real numbers are their own
    tensor.is_negated = value.is_negated;
    const bool is_signed = tensor.dtype == DType::kF64 || tensor.dtype == DType::kF32 ||
                           tensor.dtype == DType::kF16 || tensor.dtype == DType::kBF16 ||
                           tensor.dtype == DType::kC64;
    if (!value.is_negated || is_signed) return {};
    return Damaged(value.byte, fmt::format("a lazily negated tensor of type {}", value.type->name),
                   "call resolve_neg() on the tensor and save it again");
  }

  const Arena& arena_;
  MemoryLeft& memory_;
  StateDict dict_;
  std::unordered_map<std::string_view, uint32_t> numbers_;
  std::vector<uint32_t> of_value_;  // by storage of the arena: its number in dict_
};

}  // namespace

Result<StateDict> DecodeStateDict(std::string_view pickle, const DecodeOptions& options) {
  MemoryLeft memory(options.memory_bytes);
  Machine machine(pickle, {options.name, options.first_byte}, memory);
  CKPT_TRY(const Value root, machine.Run());
  Collector collector(machine.arena(), memory);
  CKPT_TRY_VOID(collector.AddStorages());
  CKPT_TRY_VOID(ForEachTensor(machine.arena(), root, options.first_byte,
                              [&](const std::string& name, const TensorValue& tensor) {
                                return collector.AddTensor(name, tensor);
                              }));
  return std::move(collector).Take(options.first_byte);
}

}  // namespace ckpt::pickle
