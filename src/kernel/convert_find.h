#pragma once

#include "kernel/convert.h"

namespace ckpt {

/// The two halves of FindConvert; nullptr where the other half or nobody has it.
ConvertFn FindFloatConvert(DType from, DType to);  ///< F64 to F8
ConvertFn FindDequantize(DType from, DType to);    ///< GGUF block types

}  // namespace ckpt
