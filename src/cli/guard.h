#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <exception>
#include <new>
#include <system_error>

#include "base/result.h"

namespace ckpt {

/// Runs `work`; what it throws, which no other place caught, becomes an error.
template <class T, class Work>
Result<T> Guarded(const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return Fail(Code::kResources, "out of memory", "give this process more memory");
  } catch (const std::system_error& error) {
    if (error.code().value() != EPIPE)
      return Fail(Code::kInternal, fmt::format("unexpected: {}", error.what()),
                  "please report this");
    return Fail(Code::kIo, "whoever read standard output has stopped",
                "read it to its end, or write it to a file");
  } catch (const std::exception& error) {
    return Fail(Code::kInternal, fmt::format("unexpected: {}", error.what()), "please report this");
  }
}

}  // namespace ckpt
