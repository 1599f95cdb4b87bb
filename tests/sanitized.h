#pragma once

#include <cstdint>

namespace ckpt {

/// Of many cases that differ in a place or a seed alone, a build under a sanitizer, which is some
/// ten times slower, takes every nth; the release build takes them all.
#ifdef CKPT_SANITIZED
inline constexpr uint64_t kCaseStep = 4;
#else
inline constexpr uint64_t kCaseStep = 1;
#endif

}  // namespace ckpt
