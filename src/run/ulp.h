#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace ckpt {

// How far apart two stored numbers are, counted in units in the last place (ULPs): the steps from
// one number of their type to the next. -0 and +0 are neighbours, one step apart, so that two
// numbers are 0 ULPs apart exactly if their bits are equal. Types: F64, F32, F16, BF16, F8_E4M3,
// F8_E5M2.

/// Whether ULPs of this type can be counted.
bool HasUlps(DType type);

/// The one with fewer bits of precision. F64 > F32 > F16 > BF16 > F8_E4M3 > F8_E5M2.
DType CoarserType(DType a, DType b);

/// `n` float32 values rounded to `type` (half to even): any of the above but F64.
void RoundTo(DType type, const float* from, std::byte* to, size_t n);

/// What a comparison of elements came to. Elements are numbered in the order of the comparison.
struct UlpFigures {
  uint64_t elements = 0;
  uint64_t different = 0;  ///< whose bits differ
  uint64_t nans = 0;       ///< of those, where either is a NaN: no ULPs, no difference
  uint64_t ulps = 0;       ///< the largest
  double difference = 0;   ///< the largest of |a - b|, infinite where one is
  /// The element with the most ULPs, of equals the first; where all are NaN the first of them. Of
  /// no meaning while nothing differs.
  uint64_t worst = 0;
  double worst_a = 0;
  double worst_b = 0;
};

/// Compares `n` elements of `type`, any alignment, and adds to `figures`, whose numbers go on with
/// `first`. Two NaNs of the same bits are equal.
void CompareElements(DType type, const std::byte* a, const std::byte* b, size_t n, uint64_t first,
                     UlpFigures& figures);

/// Whether `n` elements of `type` are all zeros, of either sign.
bool AreZeros(DType type, const std::byte* elements, size_t n);

}  // namespace ckpt
