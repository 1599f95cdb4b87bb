#include <algorithm>
#include <cstring>

#include "kernel/reference.h"

namespace ckpt::reference {

namespace {
// Blocks of 32 x 32: without them each element costs a cache line of traffic.
constexpr size_t kBlock = 32;
}  // namespace

void TransposeRows(const std::byte* const* rows, size_t n_rows, size_t n_columns,
                   uint32_t element_bytes, std::byte* dst, size_t dst_stride_bytes) {
  for (size_t r0 = 0; r0 < n_rows; r0 += kBlock) {
    for (size_t c0 = 0; c0 < n_columns; c0 += kBlock) {
      const size_t r1 = std::min(n_rows, r0 + kBlock);
      const size_t c1 = std::min(n_columns, c0 + kBlock);
      for (size_t c = c0; c < c1; ++c) {
        for (size_t r = r0; r < r1; ++r) {
          std::memcpy(dst + c * dst_stride_bytes + r * element_bytes, rows[r] + c * element_bytes,
                      element_bytes);
        }
      }
    }
  }
}

}  // namespace ckpt::reference
