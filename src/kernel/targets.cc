// Which of the targets that kernels are compiled for this processor can run: the functions of
// Highway's library that its headers call, in the library's place (docs/decisions/0011-targets.md).
#include "hwy/targets.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#if HWY_ARCH_X86
#ifndef _Bool
#define _Bool bool  // NOLINT(bugprone-reserved-identifier,cert-dcl*): the header is C's
#endif
#include <sys/platform/x86.h>
#endif

namespace hwy {
namespace {

#if HWY_ARCH_X86
/// What glibc's loader has found that both the processor and the kernel support. The features of
/// each target are those that Highway 1.0 compiles it with (hwy/ops/set_macros-inl.h).
int64_t DetectTargets() {
  int64_t targets = HWY_STATIC_TARGET;
  const bool has_ssse3 = CPU_FEATURE_ACTIVE(SSE3) && CPU_FEATURE_ACTIVE(SSSE3);
  if (!has_ssse3) return targets;
  targets |= HWY_SSSE3;
  const bool has_sse4 = CPU_FEATURE_ACTIVE(SSE4_1) && CPU_FEATURE_ACTIVE(SSE4_2) &&
                        CPU_FEATURE_ACTIVE(PCLMULQDQ) && CPU_FEATURE_ACTIVE(AES);
  if (!has_sse4) return targets;
  targets |= HWY_SSE4;
  const bool has_avx2 = CPU_FEATURE_ACTIVE(AVX) && CPU_FEATURE_ACTIVE(AVX2) &&
                        CPU_FEATURE_ACTIVE(LZCNT) && CPU_FEATURE_ACTIVE(BMI1) &&
                        CPU_FEATURE_ACTIVE(BMI2) && CPU_FEATURE_ACTIVE(FMA) &&
                        CPU_FEATURE_ACTIVE(F16C);
  if (!has_avx2) return targets;
  targets |= HWY_AVX2;
  const bool has_avx3 = CPU_FEATURE_ACTIVE(AVX512F) && CPU_FEATURE_ACTIVE(AVX512VL) &&
                        CPU_FEATURE_ACTIVE(AVX512DQ) && CPU_FEATURE_ACTIVE(AVX512BW);
  if (!has_avx3) return targets;
  return targets | HWY_AVX3;  // AVX3_DL is compiled where it is asked for only
}
#else
/// Without a choice at run time: what the compiler was told that every processor has.
int64_t DetectTargets() { return HWY_STATIC_TARGET; }
#endif

std::atomic<int64_t> targets_of_test{0};

}  // namespace

int64_t SupportedTargets() {
  static const int64_t detected = DetectTargets();
  const int64_t of_test = targets_of_test.load();
  return of_test != 0 ? of_test : detected;
}

ChosenTarget& GetChosenTarget() {
  static ChosenTarget chosen;
  return chosen;
}

// Kernels choose again when they are called next.
void SetSupportedTargetsForTest(int64_t targets) {
  targets_of_test.store(targets);
  GetChosenTarget().DeInit();
}

// Of the checks that Highway's headers make in builds with sanitizers.
void Abort(const char* file, int line, const char* format, ...) {
  std::fprintf(stderr, "%s:%d: ", file, line);
  std::va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::abort();
}

}  // namespace hwy
