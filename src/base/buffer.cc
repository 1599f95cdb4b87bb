#include "base/buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/checked.h"
#include "base/units.h"

namespace ckpt {
namespace {
constexpr size_t kHugePage = 2 * kMiB;
}

Result<Buffer> Buffer::Allocate(Grant grant) {
  Buffer buffer;
  if (grant.bytes() > 0) {
    // Over-map by one huge page and give both ends back: mmap has no alignment argument.
    const bool is_huge = grant.bytes() >= kHugePage;
    const size_t size = RoundUp(grant.bytes(), is_huge ? kHugePage : 4 * kKiB);
    const size_t mapped_bytes = is_huge ? size + kHugePage : size;
    void* mapped =
        mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
      return Fail(Code::kResources,
                  fmt::format("cannot map {}: {}", FormatMemory(grant.bytes()),
                              std::generic_category().message(errno)),
                  "give a smaller --memory, or more memory to this process");
    auto* base = static_cast<std::byte*>(mapped);
    if (is_huge) {
      const auto address = reinterpret_cast<uintptr_t>(base);
      const size_t front = RoundUp(address, kHugePage) - address;
      if (front > 0) munmap(base, front);
      base += front;
      if (const size_t back = mapped_bytes - front - size; back > 0) munmap(base + size, back);
      madvise(base, size, MADV_HUGEPAGE);
    }
    buffer.data_ = base;
    buffer.size_ = grant.bytes();
  }
  buffer.grant_ = std::move(grant);
  return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      grant_(std::move(other.grant_)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    Free();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    grant_ = std::move(other.grant_);
  }
  return *this;
}

Buffer::~Buffer() { Free(); }

void Buffer::Free() {
  if (data_ != nullptr) munmap(data_, RoundUp(size_, size_ >= kHugePage ? kHugePage : 4 * kKiB));
  data_ = nullptr;
}

}  // namespace ckpt
