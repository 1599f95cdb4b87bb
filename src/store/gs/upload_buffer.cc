#include "store/gs/upload_buffer.h"

#include <cstring>
#include <utility>

#include "base/check.h"

namespace ckpt::gs {

Result<UploadBuffer> UploadBuffer::Allocate(MemoryBudget& budget, uint64_t capacity,
                                            std::stop_token stop) {
  CKPT_TRY(Grant grant, budget.Acquire(GrantBytes(capacity), std::move(stop)));
  UploadBuffer made;
  CKPT_TRY(made.buffer_, Buffer::Allocate(std::move(grant)));
  made.whole_ = made.buffer_.span();
  return made;
}

UploadBuffer UploadBuffer::OnHeap(uint64_t capacity) {
  UploadBuffer made;
  made.heap_.resize(GrantBytes(capacity));
  made.whole_ = made.heap_;
  return made;
}

UploadBuffer UploadBuffer::Within(std::span<std::byte> memory) {
  UploadBuffer made;
  made.whole_ = memory;
  return made;
}

std::span<const std::byte> UploadBuffer::Frame(std::string_view front, uint64_t size,
                                               std::string_view end) {
  CKPT_CHECK(front.size() <= kFrontRoom && size <= capacity() && end.size() <= kEndRoom);
  std::byte* const begin = whole_.data() + kFrontRoom - front.size();
  std::memcpy(begin, front.data(), front.size());
  std::memcpy(begin + front.size() + size, end.data(), end.size());
  return {begin, front.size() + size + end.size()};
}

}  // namespace ckpt::gs
