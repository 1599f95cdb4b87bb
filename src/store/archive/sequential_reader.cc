#include "store/archive/sequential_reader.h"

#include <algorithm>
#include <utility>

namespace ckpt {

Result<std::unique_ptr<SequentialReader>> SequentialReader::Start(ObjectReader& object,
                                                                  MemoryBudget& budget,
                                                                  std::stop_token stop) {
  std::unique_ptr<SequentialReader> reader(new SequentialReader(object, std::move(stop)));
  std::vector<Buffer> windows;
  for (size_t i = 0; i < kWindows; ++i) {
    CKPT_TRY(Grant grant, budget.Acquire(kWindowBytes, reader->stop_));
    CKPT_TRY(Buffer window, Buffer::Allocate(std::move(grant)));
    windows.push_back(std::move(window));
  }
  for (Buffer& window : windows) reader->Begin(std::move(window));
  return reader;
}

// The windows' memory must live until their reads have ended.
SequentialReader::~SequentialReader() {
  for (UnderWay& one : under_way_) {
    if (one.read.valid()) one.read.wait();
  }
}

void SequentialReader::Begin(Buffer window) {
  const uint64_t end = std::min(begun_bytes_ + kWindowBytes, object_.info().size_bytes);
  if (begun_bytes_ == end) return;
  const ByteRange range{begun_bytes_, end};
  IoFuture read = object_.ReadWindow(range, window.span());
  under_way_.push_back({std::move(window), range, std::move(read)});
  begun_bytes_ = end;
}

Result<std::span<const std::byte>> SequentialReader::Next() {
  if (current_.size() > 0) Begin(std::exchange(current_, Buffer()));
  if (stop_.stop_requested())
    return Fail(Code::kInterrupted, "the reading of the archive was interrupted");
  if (under_way_.empty()) return std::span<const std::byte>();
  UnderWay& front = under_way_.front();
  const uint64_t size = front.range.size();
  CKPT_TRY_VOID(front.read.get());
  current_ = std::move(front.window);
  under_way_.pop_front();
  const std::span<const std::byte> bytes = current_.span(0, size);
  crc32c_.Append(bytes);
  md5_.Update(bytes);
  return bytes;
}

}  // namespace ckpt
