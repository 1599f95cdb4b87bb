#include "store/file/part_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/checked.h"
#include "base/units.h"
#include "store/file/direct_write.h"
#include "store/file/file_error.h"
#include "store/store.h"

namespace ckpt {
namespace {

constexpr size_t kBufferedPieceBytes = 8 * kMiB;

// posix_fallocate is no choice: where the file system cannot reserve, glibc writes into every
// block, also into those that another process has filled. ftruncate then makes a sparse file.
int ReserveSpace(int fd, uint64_t size_bytes) {
  while (size_bytes > 0 && fallocate(fd, 0, 0, static_cast<off_t>(size_bytes)) != 0) {
    if (errno == EINTR) continue;
    if (errno != EOPNOTSUPP && errno != ENOSYS) return errno;
    return ftruncate(fd, static_cast<off_t>(size_bytes)) == 0 ? 0 : errno;
  }
  return 0;
}

tl::unexpected<Error> FailDirectRefused() {
  return Fail(Code::kUsage, "its file system refuses direct I/O", "use --io auto or --io buffered");
}

}  // namespace

Result<void> PartFile::Open(Descriptor file, int folder_fd, const char* leaf, uint64_t size_bytes,
                            IoMode mode) {
  buffered_ = std::move(file);
  size_bytes_ = size_bytes;
  mode_ = mode;
  CKPT_TRY_VOID(Reserve(size_bytes));
  if (mode == IoMode::kBuffered) return {};
  return OpenDirect(folder_fd, leaf, mode);
}

Result<void> PartFile::Reserve(uint64_t size_bytes) {
  struct stat found {};
  if (fstat(buffered_.get(), &found) != 0)
    return FailFile(FileSide::kOutput, errno, "look at the file");
  device_ = found.st_dev;
  inode_ = found.st_ino;
  if (!S_ISREG(found.st_mode))
    return Fail(Code::kCannotCreate, "its .part is no regular file", "remove it");
  int error = 0;
  // Longer is what a killed run with another plan left; the same size may be another shard's work,
  // and stays.
  if (std::cmp_greater(found.st_size, size_bytes) &&
      ftruncate(buffered_.get(), static_cast<off_t>(size_bytes)) != 0)
    error = errno;
  if (error == 0) error = ReserveSpace(buffered_.get(), size_bytes);
  if (error == 0) return {};
  return FailOutput(error, "reserve its space", buffered_.get(), size_bytes);
}

Result<void> PartFile::OpenDirect(int folder_fd, const char* leaf, IoMode mode) {
  struct stat mine {};
  if (fstat(buffered_.get(), &mine) != 0)
    return FailFile(FileSide::kOutput, errno, "look at the file");
  // Beside a large page or block the cached last one would hold, and write back, bytes that are
  // written directly.
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const auto block = static_cast<uint64_t>(std::max<blksize_t>(mine.st_blksize, 1));
  const uint64_t granule = std::max({kIoAlignment, page, RoundUp(block, kIoAlignment)});
  const uint64_t direct_end = RoundDown(size_bytes_, granule);
  if (direct_end == 0) return {};
  direct_ = Descriptor(openat(folder_fd, leaf, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_DIRECT));
  if (!direct_.is_open()) {
    if (errno != EINVAL && errno != EOPNOTSUPP)
      return FailFile(FileSide::kOutput, errno, "open the file");
    if (mode == IoMode::kDirect) return FailDirectRefused();
    return {};
  }
  struct stat found {};
  if (fstat(direct_.get(), &found) != 0 || !IsSameFile(mine, found))
    return Fail(Code::kCannotCreate, "another process removed its .part",
                "let one process at a time write this output");
  direct_end_ = direct_end;
  is_direct_ = true;
  return {};
}

Result<void> PartFile::Write(std::span<const std::byte> bytes, uint64_t offset) {
  if (is_direct_ && offset < direct_end_) {
    const auto direct = bytes.first(std::min<uint64_t>(bytes.size(), direct_end_ - offset));
    CKPT_TRY_VOID(WriteDirect(direct, offset));
    bytes = bytes.subspan(direct.size());
    offset += direct.size();
  }
  return WriteBuffered(bytes, offset);
}

Result<void> PartFile::WriteDirect(std::span<const std::byte> bytes, uint64_t offset) {
  const int error = WriteDirectAt(direct_.get(), bytes, offset);
  if (error == 0) return {};
  if (error == EINVAL) {
    // Opened, yet refused: then it refuses every write, so the buffered ones have the file to
    // themselves.
    if (mode_ == IoMode::kDirect) return FailDirectRefused();
    is_direct_ = false;
    return WriteBuffered(bytes, offset);
  }
  return FailOutput(error, "write", buffered_.get(), bytes.size());
}

Result<void> PartFile::WriteBuffered(std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kBufferedPieceBytes));
    int error = WriteAllAt(buffered_.get(), piece, offset).error;
    if (error == 0) error = write_behind_.Wrote(buffered_.get(), {offset, offset + piece.size()});
    if (error != 0) return FailOutput(error, "write", buffered_.get(), piece.size());
    bytes = bytes.subspan(piece.size());
    offset += piece.size();
  }
  return {};
}

int PartFile::Finish() {
  if (const int error = SyncFile(buffered_.get()); error != 0) return error;
  DropCached(buffered_.get(), {0, size_bytes_});
  const int direct_error = direct_.Close();
  const int buffered_error = buffered_.Close();
  return direct_error != 0 ? direct_error : buffered_error;
}

void PartFile::Close() {
  direct_.Close();
  buffered_.Close();
}

bool PartFile::IsNamed(int folder_fd, const char* leaf) const {
  struct stat found {};
  return fstatat(folder_fd, leaf, &found, AT_SYMLINK_NOFOLLOW) == 0 && found.st_dev == device_ &&
         found.st_ino == inode_;
}

}  // namespace ckpt
