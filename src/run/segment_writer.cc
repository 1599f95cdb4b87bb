#include "run/segment_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "store/ready.h"

namespace ckpt {

Result<std::span<std::byte>> SegmentWriter::Room(uint64_t bytes) {
  CKPT_CHECK(bytes <= segment_.end - next_);
  if (writer_.alignment() > 1 || bytes == 0) return std::span<std::byte>();
  return writer_.Room({next_ - base_, next_ - base_ + bytes});
}

IoFuture SegmentWriter::Write(std::span<std::byte> bytes) {
  CKPT_CHECK(bytes.size() <= segment_.end - next_);
  if (writer_.alignment() == 1)
    return writer_.WriteAt(std::exchange(next_, next_ + bytes.size()) - base_, bytes);
  CKPT_CHECK(reinterpret_cast<uintptr_t>(bytes.data()) % kIoAlignment == next_ % kIoAlignment);
  const uint64_t first_block = RoundUp(segment_.begin, kIoAlignment);
  if (next_ < first_block) {  // the neighbour's block: ours from here to its end
    const size_t count = std::min<uint64_t>(bytes.size(), first_block - next_);
    head_.insert(head_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    next_ += count;
    bytes = bytes.subspan(count);
  }
  if (bytes.empty()) return Ready();

  const uint64_t begin = RoundDown(next_, kIoAlignment);
  std::byte* block = bytes.data() - (next_ - begin);
  CKPT_CHECK(carry_.size() == next_ - begin);
  if (!carry_.empty()) std::memcpy(block, carry_.data(), carry_.size());
  next_ += bytes.size();
  const uint64_t end = RoundDown(next_, kIoAlignment);
  const size_t whole = end > begin ? end - begin : 0;
  carry_.assign(block + whole, bytes.data() + bytes.size());
  if (whole == 0) return Ready();
  return writer_.WriteAt(begin - base_, {block, whole});
}

std::vector<SideValue> SegmentWriter::Finish() {
  CKPT_CHECK(next_ == segment_.end);
  std::vector<SideValue> ragged;
  if (!head_.empty()) ragged.push_back({segment_.begin, std::move(head_)});
  if (!carry_.empty()) ragged.push_back({next_ - carry_.size(), std::move(carry_)});
  return ragged;
}

}  // namespace ckpt
