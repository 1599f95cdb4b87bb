#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "base/error.h"

namespace ckpt {

/// A value or an Error. Dropping one fails the build. Why not std::expected: it needs C++23, and
/// clang-16 cannot see libstdc++'s (docs/decisions/0001-result.md).
template <class T>
struct [[nodiscard]] Result : tl::expected<T, Error> {
  using tl::expected<T, Error>::expected;
  // Implicit on purpose: map_error and its kin return the base.
  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(tl::expected<T, Error> e) : tl::expected<T, Error>(std::move(e)) {}
};

/// Builds the failing side of any Result.
inline tl::unexpected<Error> Fail(Code code, std::string what, std::string remedy = {}) {
  return tl::unexpected<Error>(Error{code, std::move(what), {}, {}, std::move(remedy)});
}
inline tl::unexpected<Error> Fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace ckpt

#define CKPT_CONCAT_INNER(a, b) a##b
#define CKPT_CONCAT(a, b) CKPT_CONCAT_INNER(a, b)

#define CKPT_TRY_INNER(tmp, declaration, ...)                             \
  auto tmp = (__VA_ARGS__);                                               \
  if (!tmp) return tl::unexpected<::ckpt::Error>(std::move(tmp).error()); \
  declaration = *std::move(tmp)

/// CKPT_TRY(Header header, ReadHeader(store, object)); declares `header`, or returns the error.
#define CKPT_TRY(declaration, ...) \
  CKPT_TRY_INNER(CKPT_CONCAT(ckpt_try_, __LINE__), declaration, __VA_ARGS__)

/// CKPT_TRY_VOID(writer.Commit()); for Result<void>, or to drop a value.
#define CKPT_TRY_VOID(...)                                                      \
  do {                                                                          \
    if (auto ckpt_try_result = (__VA_ARGS__); !ckpt_try_result)                 \
      return tl::unexpected<::ckpt::Error>(std::move(ckpt_try_result).error()); \
  } while (false)
