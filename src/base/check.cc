#include "base/check.h"

#include <cstdio>
#include <cstdlib>

#include "base/error.h"

namespace ckpt {

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(
      stderr,
      "ckpt: internal error: %s:%d: %s does not hold\n  remedy  please report this (exit 70)\n",
      file, line, condition);
  std::fflush(stderr);
  // Not abort(): the exit status is part of the contract, and no destructor may publish anything on
  // the way.
  std::_Exit(static_cast<int>(Code::kInternal));
}

}  // namespace ckpt
