#include "format/pickle/globals.h"

#include <algorithm>
#include <array>

namespace ckpt::pickle {
namespace {

using enum GlobalKind;

constexpr std::string_view kTorch = "torch";
constexpr std::string_view kUtils = "torch._utils";

// Everything that torch.save writes for a state dict, whatever the version. Origin:
// sources-and-stores rules of the formats page; pytorch/pytorch, torch/_weights_only_unpickler.py
// and torch/_utils.py.
constexpr std::array kGlobals = {
    Global{"collections", "OrderedDict", kOrderedDict},
    Global{kUtils, "_rebuild_tensor", kRebuildTensor},
    Global{kUtils, "_rebuild_tensor_v2", kRebuildTensorV2},
    Global{kUtils, "_rebuild_tensor_v3", kRebuildTensorV3},
    Global{kUtils, "_rebuild_parameter", kRebuildParameter},
    Global{kUtils, "_rebuild_parameter_with_state", kRebuildParameterWithState},
    Global{"torch._tensor", "_rebuild_from_type_v2", kRebuildFromType},
    Global{"torch.nn.parameter", "Parameter", kTensorType},
    Global{kTorch, "Tensor", kTensorType},
    Global{kTorch, "Size", kSize},
    Global{"torch.storage", "UntypedStorage", kUntypedStorage, 1, DType::kU8},
    Global{"torch.storage", "TypedStorage", kTypedStorage},
    Global{kTorch, "float64", kDType, 8, DType::kF64},
    Global{kTorch, "float32", kDType, 4, DType::kF32},
    Global{kTorch, "float16", kDType, 2, DType::kF16},
    Global{kTorch, "bfloat16", kDType, 2, DType::kBF16},
    Global{kTorch, "int64", kDType, 8, DType::kI64},
    Global{kTorch, "int32", kDType, 4, DType::kI32},
    Global{kTorch, "int16", kDType, 2, DType::kI16},
    Global{kTorch, "int8", kDType, 1, DType::kI8},
    Global{kTorch, "uint8", kDType, 1, DType::kU8},
    Global{kTorch, "uint16", kDType, 2, DType::kU16},
    Global{kTorch, "uint32", kDType, 4, DType::kU32},
    Global{kTorch, "uint64", kDType, 8, DType::kU64},
    Global{kTorch, "bool", kDType, 1, DType::kBool},
    Global{kTorch, "complex64", kDType, 8, DType::kC64},
    Global{kTorch, "complex128", kDType, 16},
    Global{kTorch, "float8_e4m3fn", kDType, 1, DType::kF8E4M3},
    Global{kTorch, "float8_e5m2", kDType, 1, DType::kF8E5M2},
    Global{kTorch, "float8_e4m3fnuz", kDType, 1, DType::kF8E4M3FNUZ},
    Global{kTorch, "float8_e5m2fnuz", kDType, 1, DType::kF8E5M2FNUZ},
    Global{kTorch, "float8_e8m0fnu", kDType, 1, DType::kF8E8M0},
    Global{kTorch, "float4_e2m1fn_x2", kDType, 1},
    Global{kTorch, "device", kDroppedClass},
    Global{"torch.serialization", "_get_layout", kDropped},
    Global{"_codecs", "encode", kDropped},
    Global{"builtins", "set", kDroppedClass},
    Global{"builtins", "bytearray", kDroppedClass},
    Global{"builtins", "complex", kDroppedClass},
    Global{"__builtin__", "set", kDroppedClass},
    Global{"__builtin__", "bytearray", kDroppedClass},
    Global{"__builtin__", "complex", kDroppedClass},
};

// Of modules torch and torch.cuda alike.
constexpr std::array kStorages = {
    Global{{}, "DoubleStorage", kStorage, 8, DType::kF64},
    Global{{}, "FloatStorage", kStorage, 4, DType::kF32},
    Global{{}, "HalfStorage", kStorage, 2, DType::kF16},
    Global{{}, "BFloat16Storage", kStorage, 2, DType::kBF16},
    Global{{}, "LongStorage", kStorage, 8, DType::kI64},
    Global{{}, "IntStorage", kStorage, 4, DType::kI32},
    Global{{}, "ShortStorage", kStorage, 2, DType::kI16},
    Global{{}, "CharStorage", kStorage, 1, DType::kI8},
    Global{{}, "ByteStorage", kStorage, 1, DType::kU8},
    Global{{}, "BoolStorage", kStorage, 1, DType::kBool},
    Global{{}, "ComplexFloatStorage", kStorage, 8, DType::kC64},
    Global{{}, "ComplexDoubleStorage", kStorage, 16},
    Global{{}, "QInt8Storage", kStorage, 1, DType::kI8},
    Global{{}, "QUInt8Storage", kStorage, 1, DType::kU8},
    Global{{}, "QInt32Storage", kStorage, 4, DType::kI32},
};

template <class Table, class Matches>
const Global* FindIn(const Table& table, Matches matches) {
  const auto at = std::find_if(table.begin(), table.end(), matches);
  return at == table.end() ? nullptr : &*at;
}

}  // namespace

const Global* FindGlobal(std::string_view module, std::string_view name) {
  if (module == kTorch || module == "torch.cuda") {
    const Global* const storage =
        FindIn(kStorages, [&](const Global& each) { return each.name == name; });
    if (storage != nullptr) return storage;
  }
  return FindIn(kGlobals,
                [&](const Global& each) { return each.module == module && each.name == name; });
}

}  // namespace ckpt::pickle
