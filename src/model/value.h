#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"

namespace ckpt {

/// One step of the little arithmetic of a cell, done in this order; every step rounds to its type.
/// A step of type kBF16 takes bf16 values and is the float32 result rounded to bf16 (half to even);
/// one of type kF32 takes values of either type.
struct ValueStep {
  enum class Kind : uint8_t { kCast, kMultiply, kAdd };
  Kind kind = Kind::kCast;
  DType type = DType::kF32;  ///< kBF16 or kF32: of the step's result
  float operand = 0;         ///< exact in `type`, rounded there already; not for kCast
  double exact = 0;          ///< the operand before any rounding, from which InF32 makes its own
  bool operator==(const ValueStep&) const = default;
};

/// Steps from first to last. Empty: the values as they are.
using ValueProgram = std::vector<ValueStep>;

/// The steps of `second` after those of `first`. What undoes itself is dropped: a program and its
/// Inverse cancel to nothing, even where the inverse is not exact (values that return to the scheme
/// that they came from are the values that were stored there); so are casts without effect.
/// An inverse made for float32 values cancels its program to the program's last rounding.
ValueProgram Then(const ValueProgram& first, const ValueProgram& second);

/// The way back: multiplications by the reciprocal, in float32 and rounded to the type that the
/// value had before; subtractions in the type of the addition.
/// Origin of both forms: AI-Hypercomputer/maxtext, the hooks of to_huggingface.
/// The reciprocal is that of the rounded operand for a bf16 step, whose rounding is part of the
/// format, and of `exact` for a float32 step.
ValueProgram Inverse(const ValueProgram& program);

/// Whether Inverse brings every value back bit for bit, as long as nothing leaves the normal
/// numbers: no sums, and factors that are powers of two.
bool IsExact(const ValueProgram& program);

/// The same operations with every type float32 and the operands rounded to it afresh: what a
/// float32 output holds. Casts go. Take it of a whole chain, after Then, not of its halves.
ValueProgram InF32(const ValueProgram& program);

/// The definition, for one value; the kernels must agree with it bit for bit.
float ApplyValue(const ValueProgram& program, float x);

}  // namespace ckpt
