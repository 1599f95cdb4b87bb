#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace ckpt {

/// The most that one system call is asked to move: enough for full speed
/// (docs/decisions/0003-direct-io.md), little enough that a stop is noticed soon.
inline constexpr size_t kMaxTransferBytes = size_t{16} << 20;

/// An owned file descriptor. Movable.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { Close(); }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  /// 0, or the errno of close(2): network mounts report a failed write only here.
  int Close();

 private:
  int fd_ = -1;
};

/// What a transfer came to.
struct Transfer {
  size_t bytes = 0;  ///< moved before it ended
  int error = 0;     ///< errno, 0 for success and for the end of the file
};

/// preadv-like loops over short transfers and EINTR, at most kMaxTransferBytes a call.
/// ReadAt ends early, without an error, at the end of the file; WriteAllAt does not.
Transfer ReadAt(int fd, std::span<std::byte> into, uint64_t offset);
Transfer WriteAllAt(int fd, std::span<const std::byte> bytes, uint64_t offset);

/// fsync and fdatasync, as errno. A file system that has no such thing for this file (FUSE folders)
/// counts as success.
int SyncFile(int fd);
int SyncData(int fd);

bool IsSameFile(const struct stat& a, const struct stat& b);

}  // namespace ckpt
