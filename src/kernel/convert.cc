#include "kernel/convert.h"

#include <cstring>

#include "kernel/convert_find.h"

namespace ckpt {
namespace {

template <size_t kBytes>
void Copy(const std::byte* src, std::byte* dst, size_t n) {
  if (n != 0) std::memcpy(dst, src, n * kBytes);  // n = 0 may come with null pointers
}

ConvertFn FindCopy(DType dtype) {
  if (Info(dtype).block_elements != 1) return nullptr;
  switch (Info(dtype).block_bytes) {
    case 1:
      return Copy<1>;
    case 2:
      return Copy<2>;
    case 4:
      return Copy<4>;
    case 8:
      return Copy<8>;
    default:
      return nullptr;
  }
}

}  // namespace

ConvertFn FindConvert(DType from, DType to) {
  if (from == to) return FindCopy(from);
  if (const ConvertFn plain = FindFloatConvert(from, to); plain != nullptr) return plain;
  if (const ConvertFn small = FindDequantize32(from, to); small != nullptr) return small;
  return FindDequantize256(from, to);
}

}  // namespace ckpt
