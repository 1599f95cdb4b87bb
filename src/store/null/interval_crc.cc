#include "store/null/interval_crc.h"

#include <fmt/format.h>

#include <iterator>

#include "base/byte_range.h"

namespace ckpt {

Result<void> IntervalCrc::Add(uint64_t offset, const Crc32c& part) {
  if (part.size_bytes() == 0) return {};
  const uint64_t end = offset + part.size_bytes();
  const auto next = stretches_.lower_bound(offset);
  auto previous = next == stretches_.begin() ? stretches_.end() : std::prev(next);
  const bool has_previous = previous != stretches_.end();
  const uint64_t previous_end = has_previous ? previous->first + previous->second.size_bytes() : 0;
  const bool has_next = next != stretches_.end();
  if (previous_end > offset || (has_next && next->first < end)) {
    return Fail(Code::kInternal,
                fmt::format("bytes {} were written twice", ToString({offset, end})),
                "please report this");
  }
  if (has_previous && previous_end == offset)
    previous->second.Append(part);
  else
    previous = stretches_.emplace_hint(next, offset, part);
  if (has_next && next->first == end) {
    previous->second.Append(next->second);
    stretches_.erase(next);
  }
  return {};
}

Result<Crc32c> IntervalCrc::Finish(uint64_t size_bytes) const {
  if (size_bytes == 0 && stretches_.empty()) return Crc32c();
  const bool begins = !stretches_.empty() && stretches_.begin()->first == 0;
  const uint64_t filled = begins ? stretches_.begin()->second.size_bytes() : 0;
  if (filled == size_bytes) return stretches_.begin()->second;
  return Fail(Code::kInternal, fmt::format("byte {} of {} was never written", filled, size_bytes),
              "please report this");
}

}  // namespace ckpt
