#include "kernel/value_steps.h"

#include "base/float.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/value_steps.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/highway.h"
#include "kernel/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

enum class Step { kMultiply, kAdd, kRound };

float Scalar(float x, float operand, Step step, bool is_bf16) {
  if (step == Step::kMultiply) x *= operand;
  if (step == Step::kAdd) x += operand;
  return is_bf16 ? ToF32(ToBF16(x)) : x;
}

template <Step kStep>
void Apply(float* x, size_t n, float operand, bool is_bf16) {
  size_t i = 0;
#if CKPT_HAVE_SIMD
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const size_t lanes = hn::Lanes(d);
  const auto o = hn::Set(d, operand);
  for (; i + lanes <= n; i += lanes) {
    auto v = hn::LoadU(d, x + i);
    if constexpr (kStep == Step::kMultiply) v = hn::Mul(v, o);
    if constexpr (kStep == Step::kAdd) v = hn::Add(v, o);
    if (is_bf16) {
      const auto kept = hn::Set(du, 0xffff0000U);
      const auto bits = hn::BitCast(du, v);
      const auto rounded = hn::And(RoundUpperHalf(du, bits), kept);
      const auto quiet = hn::Or(hn::And(bits, kept), hn::Set(du, 0x00400000U));
      v = hn::IfThenElse(hn::IsNaN(v), hn::BitCast(d, quiet), hn::BitCast(d, rounded));
    }
    hn::StoreU(v, d, x + i);
  }
#endif
  for (; i < n; ++i) x[i] = Scalar(x[i], operand, kStep, is_bf16);
}

void Multiply(float* x, size_t n, float factor, bool is_bf16) {
  Apply<Step::kMultiply>(x, n, factor, is_bf16);
}
void Add(float* x, size_t n, float term, bool is_bf16) { Apply<Step::kAdd>(x, n, term, is_bf16); }
void Round(float* x, size_t n) { Apply<Step::kRound>(x, n, 0.0F, true); }

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(Multiply);
HWY_EXPORT(Add);
HWY_EXPORT(Round);

void MultiplySteps(float* x, size_t n, float factor, bool is_bf16) {
  HWY_DYNAMIC_DISPATCH(Multiply)(x, n, factor, is_bf16);
}
void AddSteps(float* x, size_t n, float term, bool is_bf16) {
  HWY_DYNAMIC_DISPATCH(Add)(x, n, term, is_bf16);
}
void RoundSteps(float* x, size_t n) { HWY_DYNAMIC_DISPATCH(Round)(x, n); }

}  // namespace ckpt
#endif  // HWY_ONCE
