#pragma once

#include <cstddef>
#include <cstdint>

#include "base/float.h"

namespace ckpt {

// AQT's symmetric quantization of weights, bit for bit.
// Origin: google/aqt at 0.8.2 (SymIntNumerics, AbsMaxCalibration) as AI-Hypercomputer/maxtext runs
// it, in bfloat16. With R = round to bf16:
//   m = max |w|, or 1 where that is 0 or subnormal      s = R(m / B)      r = R(1 / s), or 1 for
//   inf int: q = clamp(rint(R(w * r)), -C, C)      fp8: q = e4m3fn(clamp(R(w * r), -448, 448))
//   int8: B = 127.5, C = 127      int4: B = 7.5, C = 7      fp8: B = 448
// All functions: own nothing, allocate nothing, safe on any thread, any alignment.

enum class AqtType : uint8_t { kInt8, kInt4, kFp8E4M3 };

struct AqtScale {
  BF16 scale;       ///< s
  BF16 reciprocal;  ///< r
};

/// Scale and reciprocal from the bits of a finite maximum (AbsMaxBF16).
AqtScale AqtScaleOf(uint16_t abs_max_bits, AqtType type);

/// One row with one reciprocal, that of a maximum which covers all of w; one byte an element.
void AqtQuantizeRow(const BF16* w, size_t n, BF16 reciprocal, AqtType type, std::byte* q);

namespace reference {
void AqtQuantizeRow(const BF16* w, size_t n, BF16 reciprocal, AqtType type, std::byte* q);
}  // namespace reference

}  // namespace ckpt
