#include "run/row_segments.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "run/apply_values.h"

namespace ckpt {

RowSegments::RowSegments(const Tile& tile, const std::byte* input, DType source,
                         uint64_t row_elements, const ValueProgram& value, DType to,
                         std::span<std::byte> scratch)
    : tile_(tile),
      input_(input),
      row_elements_(row_elements),
      block_elements_(Info(source).block_elements),
      block_bytes_(Info(source).block_bytes),
      value_(value),
      is_as_is_(value.empty() && source == to),
      to_bytes_(ElementBytes(to)),
      gathered_(scratch.data()),
      floats_(scratch.data() + kSegmentElements * 8) {
  CKPT_CHECK(scratch.size() >= kSegmentScratchBytes && block_elements_ <= kMostBlockElements);
  if (value.empty()) {
    direct_ = FindConvert(source, to);
    CKPT_CHECK(direct_ != nullptr);
  } else {
    to_f32_ = FindConvert(source, DType::kF32);
    from_f32_ = FindConvert(DType::kF32, to);
    CKPT_CHECK(to_f32_ != nullptr && from_f32_ != nullptr);
  }
}

bool RowSegments::Exists(DType source, DType to, const ValueProgram& value) {
  if (value.empty()) return FindConvert(source, to) != nullptr;
  return FindConvert(source, DType::kF32) != nullptr && FindConvert(DType::kF32, to) != nullptr;
}

const std::byte* RowSegments::Direct(uint64_t row, uint64_t column) const {
  if (!is_as_is_) return nullptr;
  const uint32_t part = tile_.first_part[row];
  if (tile_.first_part[row + 1] != part + 1) return nullptr;
  return input_ + tile_.parts[part].buffer_offset + column * block_bytes_;
}

// The source bytes [begin, end) of a row: where they lie, or copied together from their parts.
const std::byte* RowSegments::Gathered(uint64_t row, uint64_t byte_begin, uint64_t byte_end,
                                       std::byte* into) const {
  const uint32_t first = tile_.first_part[row];
  const uint32_t last = tile_.first_part[row + 1];
  if (last == first + 1) return input_ + tile_.parts[first].buffer_offset + byte_begin;
  uint64_t at = 0;
  std::byte* to = into;
  for (uint32_t part = first; part < last; ++part) {
    const RowPart& piece = tile_.parts[part];
    const uint64_t begin = std::max(at, byte_begin);
    const uint64_t end = std::min(at + piece.bytes, byte_end);
    if (begin < end) {
      std::memcpy(to, input_ + piece.buffer_offset + (begin - at), end - begin);
      to += end - begin;
    }
    at += piece.bytes;
  }
  return into;
}

void RowSegments::Convert(uint64_t row, uint64_t column, uint64_t count, std::byte* into) const {
  CKPT_CHECK(count <= kStripeColumns && column + count <= row_elements_);
  // Whole blocks around the segment.
  const uint64_t first = column / block_elements_;
  const uint64_t last = (column + count + block_elements_ - 1) / block_elements_;
  const std::byte* bytes = Gathered(row, first * block_bytes_, last * block_bytes_, gathered_);
  const uint64_t elements = (last - first) * block_elements_;
  const uint64_t skipped = column - first * block_elements_;
  if (direct_ != nullptr && elements == count) {
    direct_(bytes, into, count);
  } else if (direct_ != nullptr) {
    direct_(bytes, floats_, elements);
    std::memcpy(into, floats_ + skipped * to_bytes_, count * to_bytes_);
  } else {
    to_f32_(bytes, floats_, elements);
    auto* x = reinterpret_cast<float*>(floats_) + skipped;
    ApplyValues(value_, x, count);
    from_f32_(reinterpret_cast<const std::byte*>(x), into, count);
  }
}

}  // namespace ckpt
