#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/convert_float.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/highway.h"
#include "kernel/convert-inl.h"
#include "kernel/convert_find.h"
#include "kernel/reference.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

#if CKPT_HAVE_SIMD

template <class From, class To, DType kFrom, DType kTo>
void ConvertElements(const std::byte* src, std::byte* dst, size_t n) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const auto first = From::Load(d, src + i * From::kBytes);
    const auto second = From::Load(d, src + (i + lanes) * From::kBytes);
    To::Store2(d, first, second, dst + i * To::kBytes);
  }
  if (i < n)
    reference::FindConvert(kFrom, kTo)(src + i * From::kBytes, dst + i * To::kBytes, n - i);
}

template <class To, DType kTo>
ConvertFn FindTo(DType from) {
  switch (from) {
    case DType::kF64:  // rare: plain loops
      return reference::FindConvert(from, kTo);
    case DType::kF32:
      return ConvertElements<FromF32, To, DType::kF32, kTo>;
    case DType::kF16:
      return ConvertElements<FromF16, To, DType::kF16, kTo>;
    case DType::kBF16:
      return ConvertElements<FromBF16, To, DType::kBF16, kTo>;
    case DType::kF8E4M3:
      return ConvertElements<FromE4M3, To, DType::kF8E4M3, kTo>;
    case DType::kF8E5M2:
      return ConvertElements<FromE5M2, To, DType::kF8E5M2, kTo>;
    default:
      return nullptr;
  }
}

ConvertFn FindForTarget(DType from, DType to) {
  if (to == DType::kBF16) return FindTo<ToBrain, DType::kBF16>(from);
  if (to == DType::kF32) return FindTo<ToFloat, DType::kF32>(from);
  return nullptr;
}

#else

ConvertFn FindForTarget(DType from, DType to) {
  return Info(from).is_gguf_block ? nullptr : reference::FindConvert(from, to);
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(FindForTarget);

ConvertFn FindFloatConvert(DType from, DType to) {
  return HWY_DYNAMIC_DISPATCH(FindForTarget)(from, to);
}

}  // namespace ckpt
#endif  // HWY_ONCE
