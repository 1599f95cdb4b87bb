#include "store/file/direct_write.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

#include "base/units.h"
#include "store/file/descriptor.h"
#include "store/store.h"

namespace ckpt {
namespace {

constexpr size_t kBounceBytes = kMiB;  // from 1 MiB on direct writes are at 80 % of their best rate

struct AlignedDelete {
  void operator()(std::byte* memory) const {
    operator delete[](memory, std::align_val_t{kIoAlignment});
  }
};
using AlignedBytes =
    std::unique_ptr<std::byte[], AlignedDelete>;  // NOLINT(modernize-avoid-c-arrays): owns new[]

AlignedBytes MakeAligned(size_t size_bytes) {
  // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): owned in the same expression; no container
  // aligns to 4 KiB
  return AlignedBytes(new (std::align_val_t{kIoAlignment}) std::byte[size_bytes]);
}

// Replaces `bytes`, which end inside one block, in that block.
int PatchBlock(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  const AlignedBytes memory = MakeAligned(kIoAlignment);
  const std::span<std::byte> block(memory.get(), kIoAlignment);
  const uint64_t begin = offset / kIoAlignment * kIoAlignment;
  const Transfer had = ReadAt(fd, block, begin);
  if (had.error != 0) return had.error;
  std::fill(block.begin() + static_cast<std::ptrdiff_t>(had.bytes), block.end(), std::byte{0});
  std::memcpy(block.data() + (offset - begin), bytes.data(), bytes.size());
  return WriteAllAt(fd, block, begin).error;
}

// Whole blocks from an address that the disk cannot read.
int WriteThroughBuffer(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  const AlignedBytes memory = MakeAligned(std::min(bytes.size(), kBounceBytes));
  while (!bytes.empty()) {
    const size_t count = std::min(bytes.size(), kBounceBytes);
    std::memcpy(memory.get(), bytes.data(), count);
    if (const int error = WriteAllAt(fd, {memory.get(), count}, offset).error; error != 0)
      return error;
    bytes = bytes.subspan(count);
    offset += count;
  }
  return 0;
}

bool IsAligned(const void* address) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the number of an address has no
  // other form
  return reinterpret_cast<uintptr_t>(address) % kIoAlignment == 0;
}

}  // namespace

int WriteDirectAt(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  const uint64_t ragged = offset % kIoAlignment;
  const size_t head = std::min<uint64_t>(bytes.size(), ragged == 0 ? 0 : kIoAlignment - ragged);
  if (head > 0) {
    if (const int error = PatchBlock(fd, bytes.first(head), offset); error != 0) return error;
    bytes = bytes.subspan(head);
    offset += head;
  }
  const size_t whole = bytes.size() / kIoAlignment * kIoAlignment;
  if (whole > 0) {
    const auto blocks = bytes.first(whole);
    const int error = IsAligned(blocks.data()) ? WriteAllAt(fd, blocks, offset).error
                                               : WriteThroughBuffer(fd, blocks, offset);
    if (error != 0) return error;
    bytes = bytes.subspan(whole);
    offset += whole;
  }
  return bytes.empty() ? 0 : PatchBlock(fd, bytes, offset);
}

}  // namespace ckpt
