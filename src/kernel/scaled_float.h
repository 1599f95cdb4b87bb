#pragma once

#include <cstddef>
#include <cstdint>

#include "base/float.h"

namespace ckpt {

// Small floats with a scale, as published checkpoints store them, back to plain values. With R =
// round to bf16:
//   E4M3   w = R(f32(q) * s)       one product in float32; scales by channel, tensor or block
//   MXFP4  w = E2M1 * 2^(s - 127)  blocks of 32
// Origins: deepseek-ai/DeepSeek-V3 (`weight_scale_inv`) and vllm-project/compressed-tensors 0.19.0
// (`weight_scale`); openai/gpt-oss (`*_blocks`, `*_scales`) and OCP Microscaling Formats 1.0.
// A product above the range is an infinity (FindNonFiniteBF16 finds it). Which NaN comes of a NaN
// is no promise. All functions: own nothing, allocate nothing, safe on any thread for disjoint
// outputs, any alignment.

/// The 8-bit scale of OCP: 2^(b - 127), down to the subnormal 2^-127; 255 is NaN.
float E8M0ToF32(uint8_t bits);

/// One row of `n` codes; column c has scales[c / block_columns] (block_columns > 0; from n on, one
/// scale for all). BF16 and E8M0 scales are widened first, which is exact.
void DequantizeE4M3(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                    BF16* out);
/// The products themselves.
void DequantizeE4M3(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                    float* out);
/// Index of the first NaN (0x7f, 0xff), or n.
size_t FindNanE4M3(const uint8_t* q, size_t n);

inline constexpr size_t kMxBlock = 32;
/// Blocks of 32 values in 16 bytes, the low nibble first, block i with the E8M0 scale scales[i].
/// Exact in bf16 too, but for infinity from 2^128 on. A block of scale 255 is NaN.
void DequantizeMxfp4(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, BF16* out);
void DequantizeMxfp4(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, float* out);
/// Index of the first scale that is NaN (255), or n.
size_t FindNanE8M0(const uint8_t* scales, size_t n);

}  // namespace ckpt
