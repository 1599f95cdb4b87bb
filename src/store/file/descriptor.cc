#include "store/file/descriptor.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ckpt {
namespace {

// `call(done)` moves bytes from `done` on and returns their count or -1.
template <class Call>
Transfer MoveAll(size_t size, int error_at_zero, Call call) {
  Transfer transfer;
  while (transfer.bytes < size) {
    const ssize_t moved = call(transfer.bytes, std::min(size - transfer.bytes, kMaxTransferBytes));
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) {
      transfer.error = moved < 0 ? errno : error_at_zero;
      break;
    }
    transfer.bytes += static_cast<size_t>(moved);
  }
  return transfer;
}

template <class Call>
int SyncWith(Call call, int fd) {
  while (call(fd) != 0) {
    if (errno == EINTR) continue;
    return errno == EINVAL || errno == ENOSYS || errno == EROFS ? 0 : errno;
  }
  return 0;
}

}  // namespace

Descriptor::Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

int Descriptor::Close() {
  if (fd_ < 0) return 0;
  // Not repeated after EINTR: on Linux the descriptor is gone then too, and may be another file's
  // already.
  const bool is_closed = close(std::exchange(fd_, -1)) == 0 || errno == EINTR;
  return is_closed ? 0 : errno;
}

Transfer ReadAt(int fd, std::span<std::byte> into, uint64_t offset) {
  return MoveAll(into.size(), 0, [&](size_t done, size_t count) {
    return pread(fd, into.data() + done, count, static_cast<off_t>(offset + done));
  });
}

Transfer WriteAllAt(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  return MoveAll(bytes.size(), EIO, [&](size_t done, size_t count) {
    return pwrite(fd, bytes.data() + done, count, static_cast<off_t>(offset + done));
  });
}

int SyncFile(int fd) { return SyncWith(fsync, fd); }
int SyncData(int fd) { return SyncWith(fdatasync, fd); }

bool IsSameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace ckpt
