#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

namespace ckpt {

/// Arithmetic on numbers that come from outside: nothing where the result does not fit.
inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}
inline std::optional<uint64_t> CheckedMul(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}
/// Left to right; fails at the first overflow, even where a later factor is 0 (as the safetensors
/// reference does).
inline std::optional<uint64_t> CheckedProduct(std::span<const uint64_t> factors) {
  uint64_t product = 1;
  for (const uint64_t factor : factors) {
    if (__builtin_mul_overflow(product, factor, &product)) return std::nullopt;
  }
  return product;
}

/// For trusted numbers only (sizes already checked).
constexpr uint64_t CeilDiv(uint64_t a, uint64_t b) { return a / b + (a % b != 0 ? 1 : 0); }
constexpr uint64_t RoundUp(uint64_t a, uint64_t multiple) {
  return CeilDiv(a, multiple) * multiple;
}
constexpr uint64_t RoundDown(uint64_t a, uint64_t multiple) { return a / multiple * multiple; }

}  // namespace ckpt
