#pragma once

#include <algorithm>
#include <string>

#include "base/result.h"

namespace ckpt {

/// What the user would see, or "(no error)".
template <class T>
std::string ErrorText(const Result<T>& result) {
  return result ? "(no error)" : result.error().Print();
}

/// The value of the error's place of this kind, or "".
template <class T>
std::string PlaceOf(const Result<T>& result, const std::string& kind) {
  if (result) return "";
  const auto at = std::find_if(result.error().where.begin(), result.error().where.end(),
                               [&](const Place& place) { return place.kind == kind; });
  return at == result.error().where.end() ? "" : at->value;
}

}  // namespace ckpt
