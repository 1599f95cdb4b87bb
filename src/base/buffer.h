#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/memory_budget.h"
#include "base/result.h"

namespace ckpt {

/// Big memory: page-aligned (2 MiB from that size on, with huge pages asked for), owned together
/// with its grant. Pages are touched by their first use only, so an unused tail costs nothing.
/// Movable. Why not std::vector: first touch costs 6 to 30 times a copy on virtual machines that
/// report free pages, so buffers are made once for a run and reused
/// (docs/decisions/0002-memory.md).
class Buffer {
 public:
  Buffer() = default;
  /// Allocates grant.bytes() bytes. kResources if the system refuses.
  static Result<Buffer> Allocate(Grant grant);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<std::byte> span() { return {data_, size_}; }
  std::span<std::byte> span(size_t offset, size_t count) { return span().subspan(offset, count); }

 private:
  void Free();
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  Grant grant_;
};

}  // namespace ckpt
