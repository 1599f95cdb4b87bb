#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/float.h"

namespace ckpt {

// Round-to-nearest quantization as compressed-tensors stores it, bit for bit.
// Origin: vllm-project/compressed-tensors 0.19.0 and vllm-project/llm-compressor 0.14.0.1 (min-max
// observer; `pack_to_int32`). With R = round to bf16 and rne = round half to even:
//   L..U = -128..127 (8 bits) or -8..7 (4 bits)      H = 127.5, 7.5, or 448 for fp8 E4M3
//   mn = min(0, min w)      mx = max(0, max w)      over the group; a = max(-mn, mx)
//   symmetric   s = R(a / H)
//   asymmetric  s = R(R(mx - mn) / (U - L))      z = rne(clamp(R(L - R(mn / s)), L, U))
//               where s == 0: z = 0 if mn == 0, else U
//   s = 2^-7 where it rounded to 0, after z was made; a subnormal s stays
//   integers    q = rne(clamp(w / s + z, L, U))
//   fp8         q = e4m3(clamp(w / s + 0, -448, 448)), so that -0 becomes +0; never NaN
// The quotient and the sum are float32. The library computes them so on a GPU, while its bf16
// arithmetic on a CPU rounds each of them by R: `is_quotient_rounded`.
// All functions: own nothing, allocate nothing, safe on any thread for disjoint outputs, any
// alignment.

/// What a code is. Integers have 8 or 4 bits; the float is E4M3: 8 bits, symmetric.
struct CodeForm {
  bool is_float = false;
  int bits = 8;
  bool is_symmetric = true;
  bool is_quotient_rounded = false;
};

/// The values from the smallest to the largest of a group, 0 always among them. Non-finite ones
/// count as magnitudes from 0x7f80 on. A default one is that of no values.
struct GroupRange {
  uint16_t below = 0;  ///< bf16 bits of -mn
  uint16_t above = 0;  ///< bf16 bits of mx
  bool IsFinite() const { return std::max(below, above) < 0x7f80; }
  bool operator==(const GroupRange&) const = default;
};
GroupRange RangeBF16(const BF16* w, size_t n);
/// Of the two parts of a group: of pieces of a row, or of a block's rows.
inline GroupRange Merge(GroupRange a, GroupRange b) {
  return {std::max(a.below, b.below), std::max(a.above, b.above)};
}

struct GroupScale {
  BF16 scale;       ///< s
  int8_t zero = 0;  ///< z; 0 where symmetric
  /// False for an asymmetric group whose mx - mn is above the largest bf16. Nothing brings its
  /// values back: refuse it.
  bool IsFinite() const { return (scale.bits & 0x7fff) < 0x7f80; }
  bool operator==(const GroupScale&) const = default;
};
/// Of a finite range.
GroupScale ScaleOf(GroupRange range, CodeForm form);

/// codes[i] of w, one a byte: an int8 (also those of 4 bits), or the bits of an E4M3. The scale is
/// that of a finite range which covers all of w. (The vector code rests on |w[i] / scale| < 2^14.
/// By an infinite scale all become `zero`, as in the library.)
void QuantizeRowBF16(const BF16* w, size_t n, GroupScale scale, CodeForm form, uint8_t* codes);

/// Ranges, scales and codes at once of a stripe of `n_rows` rows by n_columns: each group is all
/// rows by `group_columns` (> 0) columns, the last may be narrower. So one row with groups of 128,
/// one row with one scale (group_columns = n_columns), or 128 rows of blocks of 128 x 128.
///   codes[r * code_stride + c]      scales[g], zeros[g] for g < ceil(n_columns / group_columns)
/// `zeros` may be null for a symmetric form. Returns the first group that has no codes, because a
/// value in it or its scale is not finite (the outputs have no meaning then), or else the number of
/// groups.
size_t QuantizeGroupsBF16(const BF16* const* rows, size_t n_rows, size_t n_columns,
                          size_t group_columns, CodeForm form, BF16* scales, int8_t* zeros,
                          uint8_t* codes, size_t code_stride);

/// Bytes of a row of n codes: whole 32-bit words.
constexpr size_t PackedBytes(size_t n, int bits) {
  return (n * static_cast<size_t>(bits) + 31) / 32 * 4;
}
/// A row of integer codes as the format packs it: code i becomes q + 2^(bits - 1) from bit i * bits
/// on, lowest bits first, in PackedBytes(n, bits) bytes; what is left of the last word is 0.
/// `packed` may be `codes` itself, if it has room, but must not overlap it otherwise.
void PackCodes(const uint8_t* codes, size_t n, int bits, uint8_t* packed);

/// Zero points [rows, groups] packed down the rows: int32 words [ceil(rows * bits / 32), groups],
/// word [r, g] holding the 32 / bits rows from r * 32 / bits on of column g as PackCodes does. Rows
/// in pieces are the same as at once where each piece but the last is a multiple of 32 / bits.
void PackZeroPoints(const int8_t* zeros, size_t rows, size_t groups, int bits, uint8_t* packed);

}  // namespace ckpt
