#include "store/archive/sequential_reader.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace ckpt {

SequentialReader::SequentialReader(ObjectReader& object, std::span<std::byte> memory,
                                   std::stop_token stop)
    : object_(object), stop_(std::move(stop)) {
  CKPT_CHECK(memory.size() == kHeldBytes);
  for (size_t i = 0; i < kWindows; ++i) Begin(memory.subspan(i * kWindowBytes, kWindowBytes));
}

// The windows' memory must live until their reads have ended.
SequentialReader::~SequentialReader() {
  for (UnderWay& one : under_way_) {
    if (one.read.valid()) one.read.wait();
  }
}

void SequentialReader::Begin(std::span<std::byte> window) {
  const uint64_t end = std::min(begun_bytes_ + kWindowBytes, object_.info().size_bytes);
  if (begun_bytes_ == end) return;
  const ByteRange range{begun_bytes_, end};
  under_way_.push_back({window, range, object_.ReadWindow(range, window)});
  begun_bytes_ = end;
}

Result<std::span<const std::byte>> SequentialReader::Next() {
  if (!current_.empty()) Begin(std::exchange(current_, {}));
  if (stop_.stop_requested())
    return Fail(Code::kInterrupted, "the reading of the archive was interrupted");
  if (under_way_.empty()) return std::span<const std::byte>();
  UnderWay& front = under_way_.front();
  CKPT_TRY_VOID(front.read.get());
  current_ = front.window;
  const std::span<const std::byte> bytes = current_.first(front.range.size());
  under_way_.pop_front();
  crc32c_.Append(bytes);
  md5_.Update(bytes);
  return bytes;
}

}  // namespace ckpt
