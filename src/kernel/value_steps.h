#pragma once

#include <cstddef>

namespace ckpt {

// The steps of a cell's arithmetic (model/value.h) over float32 values in place. Any alignment of a
// float; bit for bit what ApplyValue says.

/// x[i] = x[i] * factor, rounded to bf16 where `is_bf16`.
void MultiplySteps(float* x, size_t n, float factor, bool is_bf16);
/// x[i] = x[i] + term, rounded to bf16 where `is_bf16`.
void AddSteps(float* x, size_t n, float term, bool is_bf16);
/// x[i] rounded to bf16 (half to even; NaN stays NaN).
void RoundSteps(float* x, size_t n);

}  // namespace ckpt
