#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace ckpt {

/// "model-00002-of-00005.safetensors": the naming of both safetensors shards and GGUF splits.
struct PartName {
  std::string stem;     ///< with its folder: "a/model"
  uint32_t number = 0;  ///< counted from 1, at most `count`
  uint32_t count = 0;
  std::string ending;  ///< ".safetensors"
};

/// Nothing where the name is of another form.
std::optional<PartName> ParsePartName(std::string_view name);

std::string ToString(const PartName& part);

/// The parts of the set that `part` belongs to, in order of number. kBadInput listing the missing
/// numbers.
Result<std::vector<ObjectInfo>> FindParts(std::span<const ObjectInfo> objects,
                                          const PartName& part);

}  // namespace ckpt
