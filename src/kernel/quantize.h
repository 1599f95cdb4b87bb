#pragma once

#include <cstddef>
#include <cstdint>

#include "base/float.h"

namespace ckpt {

// JetStream-PyTorch's symmetric quantization, bit for bit.
// Origin: AI-Hypercomputer/jetstream-pytorch, jetstream_pt/quantize.py at jetstream-v0.2.3.
// With R = round to bf16, hi = 127 (8 bits) or 7 (4 bits):
//   m = max(max |w|, R(1e-5))      s = R(m / hi)      r = R(1 / s)
//   q = clamp(rint(R(w * r)), -hi - 1, hi)
// The product is rounded to bf16 before the integer rounding (half to even): multiplying by the
// rounded reciprocal and rounding twice are part of the format.
// All functions: own nothing, allocate nothing, safe on any thread for disjoint outputs, any
// alignment.

/// `bits` of the types: 8 or 4 (4-bit values are stored one to a byte).
struct QuantScale {
  BF16 scale;       ///< s
  BF16 reciprocal;  ///< r
};

/// The bits of the largest |w[i]| as bf16 (0 for n = 0). At least 0x7f80 if an infinity or NaN is
/// among them.
uint16_t AbsMaxBF16(const BF16* w, size_t n);
/// column_max[i] = max(column_max[i], |w[i]| bits); infinities and NaN show as above.
void ColumnAbsMaxBF16(const BF16* w, size_t n, uint16_t* column_max);
/// Index of the first infinity or NaN, or n.
size_t FindNonFiniteBF16(const BF16* w, size_t n);

/// Scale and reciprocal from the bits of a finite maximum.
QuantScale ScaleOf(uint16_t abs_max_bits, int bits);

/// q[i] of one row with one reciprocal: that of a maximum which is finite and covers all of w. (The
/// vector code rests on |w[i] * reciprocal| < 2^15.)
void QuantizeRowBF16(const BF16* w, size_t n, BF16 reciprocal, int bits, int8_t* q);
/// q[i] of one row with a reciprocal per column (the embedding; 8 bits), each as above.
void QuantizeColumnsBF16(const BF16* w, const BF16* reciprocals, size_t n, int8_t* q);

inline constexpr size_t kQuantBlock = 128;
/// Bytes of a row that hold one of its blocks: 4-bit values are collected two to a byte.
constexpr size_t CollectedBlockBytes(int bits) {
  return kQuantBlock * static_cast<size_t>(bits) / 8;
}
/// Blockwise: a stripe of `n_rows` rows of n_blocks * 128 columns becomes columns of the transposed
/// output; for row r, block s, column c in the block:
///   8 bits: q[(s * 128 + c) * q_stride + r]
///   4 bits: q[(s * 64 + c % 64) * q_stride + r], of whose lower half c < 64 is, c >= 64 the upper
///   scales[s * scale_stride + r]
/// Strides in bytes and in scales. Rows may lie anywhere. Returns the bits of the largest |w| of
/// all (at least 0x7f80: an infinity or NaN is among them, and the outputs have no meaning).
/// Fast where n_rows, q_stride and q's address are multiples of 64: whole cache lines then.
uint16_t QuantizeBlocksBF16(const BF16* const* rows, size_t n_rows, size_t n_blocks, int bits,
                            std::byte* q, size_t q_stride, BF16* scales, size_t scale_stride);
/// q[i] = the lower or the upper half of packed[i], as a signed number of 4 bits.
void UnpackHalfBytes(const std::byte* packed, size_t n, bool is_upper, int8_t* q);

}  // namespace ckpt
