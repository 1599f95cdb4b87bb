#include "store/meta/stream_window.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace ckpt {

void StreamWindow::Append(std::span<const std::byte> bytes) {
  if (ring_.empty()) ring_.resize(capacity_);
  while (!bytes.empty()) {
    const size_t at = held_.end % capacity_;
    const size_t size = std::min(bytes.size(), capacity_ - at);
    std::memcpy(ring_.data() + at, bytes.data(), size);
    held_.end += size;
    bytes = bytes.subspan(size);
  }
  if (held_.size() > capacity_) held_.begin = held_.end - capacity_;
}

void StreamWindow::Copy(ByteRange range, std::span<std::byte> into) const {
  CKPT_CHECK(held_.Contains(range) && into.size() == range.size());
  while (!range.empty()) {
    const size_t at = range.begin % capacity_;
    const size_t size = std::min<uint64_t>(range.size(), capacity_ - at);
    std::memcpy(into.data(), ring_.data() + at, size);
    into = into.subspan(size);
    range.begin += size;
  }
}

}  // namespace ckpt
