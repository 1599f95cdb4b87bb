#include "base/byte_range.h"

#include <fmt/format.h>

#include "base/checked.h"

namespace ckpt {

Result<ByteRange> ByteRange::OfLength(uint64_t offset, uint64_t length) {
  const auto end = CheckedAdd(offset, length);
  if (!end)
    return Fail(Code::kBadInput,
                fmt::format("byte range of {} bytes at {} ends beyond 2^64", length, offset),
                "the file is damaged: fetch it again");
  return ByteRange{offset, *end};
}

ByteRange AlignOutward(ByteRange range, uint64_t alignment) {
  return {range.begin / alignment * alignment, RoundUp(range.end, alignment)};
}

std::string ToString(const ByteRange& range) {
  return fmt::format("[{}, {})", range.begin, range.end);
}

}  // namespace ckpt
