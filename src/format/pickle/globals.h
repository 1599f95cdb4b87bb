#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/dtype.h"

/// The names that a pickle may mention. For pickle/ only.
namespace ckpt::pickle {

enum class GlobalKind : uint8_t {
  kOrderedDict,
  kRebuildTensor,
  kRebuildTensorV2,
  kRebuildTensorV3,
  kRebuildParameter,
  kRebuildParameterWithState,
  kRebuildFromType,
  kTensorType,  ///< torch.Tensor, Parameter: only as an argument of kRebuildFromType
  kSize,
  kStorage,         ///< of elements of one type
  kUntypedStorage,  ///< of bytes
  kTypedStorage,
  kDType,
  kDropped,       ///< a function or class whose values are of no use to us
  kDroppedClass,  ///< the same, where NEWOBJ may name it too
};

struct Global {
  std::string_view module;
  std::string_view name;
  GlobalKind kind = GlobalKind::kDropped;
  uint32_t element_bytes = 0;       ///< kStorage and kDType
  std::optional<DType> dtype = {};  ///< nothing where we have no such type: complex128, pairs of F4
};

/// The whole pair must match; nullptr for every other one. Lives as long as the program.
const Global* FindGlobal(std::string_view module, std::string_view name);

}  // namespace ckpt::pickle
