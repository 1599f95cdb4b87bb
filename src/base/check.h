#pragma once

namespace ckpt {
/// Prints the broken promise and ends the process with 70. Never returns.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);
}  // namespace ckpt

/// A place that no input leads to; `what` says why.
#define CKPT_UNREACHABLE(what) ::ckpt::CheckFailed(__FILE__, __LINE__, what)

/// A promise of our own code; stays in release builds. Bad input is never a CKPT_CHECK.
#define CKPT_CHECK(...)                                                        \
  do {                                                                         \
    if (!(__VA_ARGS__)) ::ckpt::CheckFailed(__FILE__, __LINE__, #__VA_ARGS__); \
  } while (false)
