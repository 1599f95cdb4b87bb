#pragma once

#include <cstddef>

#include "base/dtype.h"

namespace ckpt {

/// Converts `n` elements. `n` is a multiple of the source type's block. Both sides may have any
/// alignment and must not overlap.
/// Rounding to bf16: nearest, ties to even, NaN kept. F64 is rounded to F32 first, as torch does
/// it. Block types (GGUF) are dequantized in float32 exactly as ggml's reference does (no fused
/// multiply-add), then rounded.
/// Thread-safe, owns nothing, allocates nothing.
using ConvertFn = void (*)(const std::byte* src, std::byte* dst, size_t n);

/// The conversion, for this machine's best vector unit; nullptr where none exists.
/// to: kBF16 or kF32, from: F64 F32 F16 BF16 F8_E4M3 F8_E5M2, Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL,
/// Q2_K to Q6_K IQ4_XS; also from == to for every type of whole bytes (a copy).
ConvertFn FindConvert(DType from, DType to);

}  // namespace ckpt
