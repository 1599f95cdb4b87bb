#pragma once

#include "kernel/convert.h"

namespace ckpt {

/// The parts of FindConvert; nullptr where another part or nobody has it.
ConvertFn FindFloatConvert(DType from, DType to);   ///< F64 to F8
ConvertFn FindDequantize32(DType from, DType to);   ///< GGUF blocks of 32 values
ConvertFn FindDequantize256(DType from, DType to);  ///< GGUF blocks of 256 values

}  // namespace ckpt
