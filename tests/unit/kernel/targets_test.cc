#include <algorithm>

#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {
namespace {

TEST(KernelTargets, AreSeveralOnX86SoThatTheSuitesCannotPassByRunningNothing) {
  const auto targets = hwy::SupportedAndGeneratedTargets();
  EXPECT_FALSE(targets.empty());
#if HWY_ARCH_X86
  EXPECT_NE(std::find(targets.begin(), targets.end(), HWY_SSSE3), targets.end());
  EXPECT_NE(std::find(targets.begin(), targets.end(), HWY_STATIC_TARGET), targets.end());
#endif
}

}  // namespace
}  // namespace ckpt
