#include "run/apply_values.h"

#include "kernel/value_steps.h"

namespace ckpt {

void ApplyValues(const ValueProgram& program, float* x, size_t count) {
  for (const ValueStep& step : program) {
    const bool is_bf16 = step.type == DType::kBF16;
    switch (step.kind) {
      case ValueStep::Kind::kCast:
        if (is_bf16) RoundSteps(x, count);
        break;
      case ValueStep::Kind::kMultiply:
        MultiplySteps(x, count, step.operand, is_bf16);
        break;
      case ValueStep::Kind::kAdd:
        AddSteps(x, count, step.operand, is_bf16);
        break;
    }
  }
}

}  // namespace ckpt
