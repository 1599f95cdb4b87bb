#include "format/zarr/scatter.h"

#include <cstring>
#include <vector>

namespace ckpt::zarr {

void PlaceInner(const Shape& chunk, const Shape& inner, uint64_t number, uint32_t element_bytes,
                std::span<const std::byte> elements, std::span<std::byte> out) {
  const size_t rank = chunk.rank();
  std::vector<uint64_t> strides(rank);  // of the whole chunk, in bytes
  uint64_t stride = element_bytes;
  uint64_t begin = 0;  // of the inner chunk's first element
  for (size_t axis = rank; axis-- > 0;) {
    strides[axis] = stride;
    const uint64_t inner_chunks = chunk[axis] / inner[axis];
    begin += number % inner_chunks * inner[axis] * stride;
    number /= inner_chunks;
    stride *= chunk[axis];
  }
  const uint64_t row_bytes = (rank == 0 ? 1 : inner.extents.back()) * element_bytes;
  std::vector<uint64_t> index(rank, 0);
  uint64_t to = begin;
  for (uint64_t from = 0; from < elements.size(); from += row_bytes) {
    std::memcpy(out.data() + to, elements.data() + from, row_bytes);
    // The next row: carry as an odometer does, without its last wheel.
    for (size_t axis = rank == 0 ? 0 : rank - 1; axis-- > 0;) {
      to += strides[axis];
      if (++index[axis] < inner[axis]) break;
      to -= strides[axis] * inner[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace ckpt::zarr
