#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace ckpt::ocdbt {

/// How many first bytes two texts share.
inline size_t CommonPrefix(std::string_view a, std::string_view b) {
  const size_t most = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first -
      a.begin());
}

}  // namespace ckpt::ocdbt
