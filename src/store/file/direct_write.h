#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ckpt {

/// Writes through a descriptor opened with O_RDWR | O_DIRECT, which takes only whole blocks at
/// aligned addresses: ragged blocks at the ends are read, changed and written whole, and bytes at
/// an address that does not match their offset go through an aligned buffer. Every touched block
/// must lie within the file, and no other write may touch one meanwhile. 0 or errno; EINVAL means
/// that the file system refuses direct I/O after all.
int WriteDirectAt(int fd, std::span<const std::byte> bytes, uint64_t offset);

}  // namespace ckpt
