#pragma once

#include <string>

#include "base/dtype.h"
#include "base/result.h"
#include "format/zarr/json_tree.h"

/// For format/zarr only.
namespace ckpt::zarr {

/// The bytes of one element, little endian; null is zero. Accepts numbers, bools, "NaN",
/// "Infinity", "-Infinity", bits as "0x...", and two of these for complex numbers. Errors:
/// kBadInput for what the dtype cannot hold.
Result<std::string> ParseFill(DType dtype, const JsonValue& value);

}  // namespace ckpt::zarr
