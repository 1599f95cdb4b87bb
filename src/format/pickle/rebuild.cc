// What the functions of globals.h would have made, had anything been called.
#include <fmt/format.h>

#include "base/text.h"
#include "format/pickle/machine.h"
#include "format/pickle/refusal.h"

namespace ckpt::pickle {
namespace {

constexpr size_t kStorageItems = 5;
constexpr int64_t kMostAxes = 64;  // as torch

}  // namespace

const Global* Machine::GlobalOf(const Value& value) const {
  return value.kind == Kind::kGlobal ? arena_.globals[value.index] : nullptr;
}

Result<Value> Machine::Reduce(const Op& op, const Value& callable, const Value& arguments) {
  const Global* const function = GlobalOf(callable);
  if (function == nullptr || arguments.kind != Kind::kTuple)
    return NotPlain(ByteOf(op), "REDUCE of something that is no function with its arguments");
  return Rebuild(op, *function, arena_.Items(arguments));
}

Result<Value> Machine::NewObject(const Op& op, const Value& type, const Value& arguments) {
  const Global* const found = GlobalOf(type);
  const bool is_class = found != nullptr && (found->kind == GlobalKind::kOrderedDict ||
                                             found->kind == GlobalKind::kSize ||
                                             found->kind == GlobalKind::kDroppedClass);
  if (!is_class || arguments.kind != Kind::kTuple)
    return NotPlain(ByteOf(op), fmt::format("{} of a class that is part of no state dict",
                                            OpcodeName(op.code)));
  return Rebuild(op, *found, arena_.Items(arguments));
}

Result<Value> Machine::Rebuild(const Op& op, const Global& function,
                               const std::vector<Value>& arguments) {
  switch (function.kind) {
    case GlobalKind::kOrderedDict: {
      if (!arguments.empty())
        return NotPlain(ByteOf(op), "an OrderedDict that is made with arguments");
      CKPT_TRY(const Value made, NewContainer(Kind::kDict));
      arena_.containers[made.index].is_ordered_dict = true;
      return made;
    }
    case GlobalKind::kSize:
      if (arguments.size() == 1 &&
          (arguments[0].kind == Kind::kTuple || arguments[0].kind == Kind::kList))
        return arguments[0];
      return NotPlain(ByteOf(op), "a torch.Size of something else than a tuple");
    case GlobalKind::kRebuildTensor:
    case GlobalKind::kRebuildTensorV2:
    case GlobalKind::kRebuildTensorV3:
      return RebuildTensor(op, function, arguments);
    case GlobalKind::kRebuildParameter:
    case GlobalKind::kRebuildParameterWithState: {
      const size_t count = function.kind == GlobalKind::kRebuildParameter ? 3 : 4;
      if (arguments.size() == count && arguments[0].kind == Kind::kTensor) return arguments[0];
      return NotPlain(ByteOf(op), fmt::format("{} of something else than a tensor", function.name));
    }
    case GlobalKind::kRebuildFromType:
      return RebuildFromType(op, arguments);
    case GlobalKind::kDropped:
    case GlobalKind::kDroppedClass:
      return Value{Kind::kOpaque, 0, 0};
    default:
      return NotPlain(ByteOf(op), fmt::format("{} is called, which is a type", function.name));
  }
}

Result<Value> Machine::RebuildFromType(const Op& op, const std::vector<Value>& arguments) {
  const Global* const function = arguments.size() == 4 ? GlobalOf(arguments[0]) : nullptr;
  const Global* const type = arguments.size() == 4 ? GlobalOf(arguments[1]) : nullptr;
  const bool rebuilds = function != nullptr && function->kind >= GlobalKind::kRebuildTensor &&
                        function->kind <= GlobalKind::kRebuildParameterWithState;
  if (!rebuilds || type == nullptr || type->kind != GlobalKind::kTensorType ||
      arguments[2].kind != Kind::kTuple)
    return NotPlain(ByteOf(op), "a tensor of a subclass");
  return Rebuild(op, *function, arena_.Items(arguments[2]));
}

Result<std::vector<int64_t>> Machine::Integers(const Op& op, const Value& tuple,
                                               std::string_view what) const {
  if (tuple.kind != Kind::kTuple && tuple.kind != Kind::kList)
    return NotPlain(ByteOf(op), fmt::format("a tensor's {} is no tuple", what));
  const std::vector<Value>& items = arena_.Items(tuple);
  if (items.size() > kMostAxes)
    return NotPlain(ByteOf(op), fmt::format("a tensor of {} axes", items.size()));
  std::vector<int64_t> numbers;
  for (const Value& item : items) {
    if (item.kind != Kind::kInt)
      return NotPlain(ByteOf(op),
                      fmt::format("a tensor's {} has an entry that is no 64-bit integer", what));
    numbers.push_back(item.number);
  }
  return numbers;
}

// {"conj": True, "neg": True}: views whose values were never written.
Result<void> Machine::ReadMetadata(const Op& op, const Value& metadata, TensorValue& tensor) const {
  if (metadata.kind == Kind::kNone) return {};
  if (metadata.kind != Kind::kDict) return NotPlain(ByteOf(op), "a tensor's metadata is no dict");
  const std::vector<Value>& items = arena_.Items(metadata);
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const std::string_view key =
        items[i].kind == Kind::kString ? arena_.Text(items[i]) : std::string_view();
    if ((key != "conj" && key != "neg") || items[i + 1].kind != Kind::kBool)
      return NotPlain(ByteOf(op), fmt::format("a tensor with the metadata \"{}\"", Excerpt(key)));
    (key == "conj" ? tensor.is_conjugated : tensor.is_negated) = items[i + 1].number != 0;
  }
  return {};
}

Result<Value> Machine::RebuildTensor(const Op& op, const Global& function,
                                     const std::vector<Value>& arguments) {
  const bool is_v3 = function.kind == GlobalKind::kRebuildTensorV3;
  const size_t least = function.kind == GlobalKind::kRebuildTensor ? 4 : is_v3 ? 7 : 6;
  const size_t most = function.kind == GlobalKind::kRebuildTensor ? 4 : least + 1;
  if (arguments.size() < least || arguments.size() > most || arguments[0].kind != Kind::kStorage)
    return NotPlain(ByteOf(op),
                    fmt::format("{} with arguments that it does not take", function.name));
  TensorValue tensor;
  tensor.byte = ByteOf(op);
  tensor.storage = arguments[0].index;
  tensor.type = arena_.storages[tensor.storage].type;
  if (is_v3) tensor.type = GlobalOf(arguments[6]);
  if (tensor.type == nullptr ||
      tensor.type->kind != (is_v3 ? GlobalKind::kDType : GlobalKind::kStorage))
    return NotPlain(ByteOf(op), fmt::format("{} without the type of its elements", function.name));
  if (arguments[1].kind != Kind::kInt)
    return NotPlain(ByteOf(op), "a tensor's offset is no 64-bit integer");
  tensor.offset = arguments[1].number;
  CKPT_TRY(tensor.size, Integers(op, arguments[2], "size"));
  CKPT_TRY(tensor.stride, Integers(op, arguments[3], "stride"));
  if (arguments.size() > least) CKPT_TRY_VOID(ReadMetadata(op, arguments[least], tensor));
  CKPT_TRY_VOID(memory_.Keep(kGrowth * sizeof(tensor) +
                             2 * sizeof(int64_t) * (tensor.size.size() + tensor.stride.size())));
  arena_.tensors.push_back(std::move(tensor));
  return Value{Kind::kTensor, static_cast<uint32_t>(arena_.tensors.size() - 1), 0};
}

Result<void> Machine::ReadView(const Op& op, const Value& view, StorageValue& storage) const {
  if (view.kind == Kind::kNone) return {};
  const auto refuse = [&] {
    return NotPlain(ByteOf(op), "a view of a storage that does not lie in it");
  };
  if (view.kind != Kind::kTuple || arena_.Items(view).size() != 3) return refuse();
  const std::vector<Value>& items = arena_.Items(view);
  if (items[1].kind != Kind::kInt || items[2].kind != Kind::kInt || items[1].number < 0 ||
      items[2].number < 0)
    return refuse();
  storage.view_offset = static_cast<uint64_t>(items[1].number);
  storage.view_elements = static_cast<uint64_t>(items[2].number);
  if (storage.view_offset > storage.elements ||
      storage.view_elements > storage.elements - storage.view_offset)
    return refuse();
  return {};
}

Result<Value> Machine::PersistentId(const Op& op, const Value& id) {
  const auto refuse = [&](std::string_view why) {
    return NotPlain(ByteOf(op), fmt::format("a persistent id {}", why));
  };
  if (id.kind != Kind::kTuple || arena_.Items(id).empty()) return refuse("that is no tuple");
  const std::vector<Value>& items = arena_.Items(id);
  const std::string_view word =
      items[0].kind == Kind::kString ? arena_.Text(items[0]) : std::string_view();
  if (word == "module")
    return Damaged(ByteOf(op), "a whole module was pickled, with its source code",
                   "save model.state_dict() instead of the model");
  if (word != "storage" || items.size() < kStorageItems || items.size() > kStorageItems + 1)
    return refuse("that names no storage");
  StorageValue storage;
  storage.byte = ByteOf(op);
  storage.type = GlobalOf(items[1]);
  if (storage.type == nullptr || (storage.type->kind != GlobalKind::kStorage &&
                                  storage.type->kind != GlobalKind::kUntypedStorage))
    return refuse("without the storage's type");
  if (items[2].kind != Kind::kString || items[3].kind != Kind::kString)
    return refuse("whose key or location is no string");
  if (items[4].kind != Kind::kInt || items[4].number < 0)
    return refuse("whose number of elements is none");
  storage.key = arena_.Text(items[2]);
  storage.is_meta = arena_.Text(items[3]) == "meta";
  storage.elements = storage.view_elements = static_cast<uint64_t>(items[4].number);
  if (items.size() > kStorageItems) CKPT_TRY_VOID(ReadView(op, items[5], storage));
  CKPT_TRY_VOID(memory_.Keep(kGrowth * sizeof(storage)));
  arena_.storages.push_back(storage);
  return Value{Kind::kStorage, static_cast<uint32_t>(arena_.storages.size() - 1), 0};
}

}  // namespace ckpt::pickle
