#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/dtype.h"
#include "format/zarr/meta.h"

/// For format/zarr only.
namespace ckpt::zarr {

struct ParsedDType {
  DType dtype = DType::kBF16;
  bool is_big_endian = false;  ///< version 2 says it in the name
};
std::optional<ParsedDType> ParseDType(ZarrForm form, std::string_view name);

/// What a byte-order codec turns around: half an element for complex numbers.
uint32_t SwapBytes(DType dtype);

}  // namespace ckpt::zarr
