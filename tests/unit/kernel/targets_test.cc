#include <dlfcn.h>

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

// Highway's own library is the judge of what this machine can run.
TEST(KernelTargets, AreThoseThatTheLibraryFinds) {
  void* const library = dlopen("libhwy.so.1", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr);
  auto* const supported =
      reinterpret_cast<int64_t (*)()>(dlsym(library, "_ZN3hwy16SupportedTargetsEv"));
  ASSERT_NE(supported, nullptr);
  ASSERT_NE(supported, &hwy::SupportedTargets);
  EXPECT_EQ(hwy::SupportedTargets() & HWY_TARGETS, supported() & HWY_TARGETS);
  dlclose(library);
}

}  // namespace
}  // namespace ckpt
