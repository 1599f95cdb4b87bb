#include "model/value.h"

#include <cmath>
#include <optional>

#include "base/check.h"
#include "base/float.h"

namespace ckpt {
namespace {

using Kind = ValueStep::Kind;

constexpr float kHalf = 0.5F;  // frexp's mantissa of every power of two

bool IsPowerOfTwo(float x) {
  int exponent = 0;
  return std::isfinite(x) && std::fabs(std::frexp(x, &exponent)) == kHalf;
}

/// Drops casts of values that have the type already, or a narrower one.
ValueProgram WithoutIdleCasts(const ValueProgram& program) {
  ValueProgram kept;
  std::optional<DType> type;  // of the values so far; unknown at first
  for (const ValueStep& step : program) {
    const bool is_idle =
        step.kind == Kind::kCast && type &&
        (*type == step.type || (*type == DType::kBF16 && step.type == DType::kF32));
    if (is_idle) continue;
    kept.push_back(step);
    type = step.type;
  }
  return kept;
}

}  // namespace

ValueProgram Then(const ValueProgram& first, const ValueProgram& second) {
  if (first.empty() || second.empty()) return first.empty() ? second : first;
  if (second == Inverse(first) || first == Inverse(second)) return {};
  if (first == Inverse(InF32(second))) {
    const bool is_rounded = second.back().type == DType::kBF16;
    return is_rounded ? ValueProgram{{Kind::kCast, DType::kBF16}} : ValueProgram();
  }
  ValueProgram program = first;
  program.insert(program.end(), second.begin(), second.end());
  return WithoutIdleCasts(program);
}

ValueProgram Inverse(const ValueProgram& program) {
  ValueProgram inverse;
  for (size_t i = program.size(); i-- > 0;) {
    const ValueStep& step = program[i];
    const bool was_bf16 = i > 0 && program[i - 1].type == DType::kBF16;
    if (step.kind == Kind::kAdd) {
      inverse.push_back({Kind::kAdd, step.type, -step.operand, -step.exact});
    } else if (step.kind == Kind::kMultiply) {
      const bool is_bf16 = step.type == DType::kBF16;
      const double reciprocal = 1.0 / (is_bf16 ? static_cast<double>(step.operand) : step.exact);
      inverse.push_back({Kind::kMultiply, DType::kF32, static_cast<float>(reciprocal), reciprocal});
    }
    // Whatever the step was, it began with bf16 values: they end as such.
    if (was_bf16) inverse.push_back({Kind::kCast, DType::kBF16});
  }
  return WithoutIdleCasts(inverse);
}

bool IsExact(const ValueProgram& program) {
  for (const ValueStep& step : program) {
    if (step.kind == Kind::kAdd && step.operand != 0) return false;
    if (step.kind == Kind::kMultiply && !IsPowerOfTwo(step.operand)) return false;
  }
  return true;
}

ValueProgram InF32(const ValueProgram& program) {
  ValueProgram result;
  for (const ValueStep& step : program) {
    if (step.kind == Kind::kCast) continue;
    result.push_back({step.kind, DType::kF32, static_cast<float>(step.exact), step.exact});
  }
  return result;
}

float ApplyValue(const ValueProgram& program, float x) {
  for (const ValueStep& step : program) {
    CKPT_CHECK(step.type == DType::kBF16 || step.type == DType::kF32);
    if (step.kind == Kind::kMultiply) x *= step.operand;
    if (step.kind == Kind::kAdd) x += step.operand;
    if (step.type == DType::kBF16) x = ToF32(ToBF16(x));
  }
  return x;
}

}  // namespace ckpt
