#include "store/file/page_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/random.h"
#include "base/units.h"
#include "store/file/descriptor.h"

namespace ckpt {
namespace {

constexpr uint64_t kSamples = 16;
constexpr uint64_t kStatBlockBytes = 512;  // of st_blocks, whatever the file system's own
constexpr uint64_t kWindowBytes = 32 * kMiB;
constexpr uint64_t kLeastBytes = 256 * kKiB;  // the kernel's own flusher does for less

int SyncRange(int fd, ByteRange range, unsigned flags) {
  const int rc =
      sync_file_range(fd, static_cast<off_t>(range.begin), static_cast<off_t>(range.size()), flags);
  if (rc == 0) return 0;
  // Others mean that the file system has no such call, which costs speed only.
  return errno == EIO || errno == ENOSPC || errno == EDQUOT ? errno : 0;
}

}  // namespace

bool IsCached(int fd, uint64_t size_bytes) {
  // A hole is answered without waiting whether its pages are cached or not.
  struct stat found {};
  if (fstat(fd, &found) != 0 ||
      static_cast<uint64_t>(found.st_blocks) * kStatBlockBytes < size_bytes)
    return false;
  const uint64_t samples = std::min(kSamples, size_bytes);
  uint64_t random = RandomBits() | 1U;
  // Else a miss would fetch a whole readahead window.
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  bool is_cached = true;
  for (uint64_t i = 0; i < samples && is_cached; ++i) {
    const uint64_t stretch = size_bytes / samples;
    random = random * 6364136223846793005U + 1442695040888963407U;
    const uint64_t offset = i * stretch + (random >> 16U) % stretch;
    std::byte byte{};
    iovec into{&byte, 1};
    is_cached = preadv2(fd, &into, 1, static_cast<off_t>(offset), RWF_NOWAIT) == 1;
  }
  posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL);
  return is_cached;
}

void DropCached(int fd, ByteRange range) {
  posix_fadvise(fd, static_cast<off_t>(range.begin), static_cast<off_t>(range.size()),
                POSIX_FADV_DONTNEED);
}

int WriteBehind::Wrote(int fd, ByteRange range) {
  if (range.size() < kLeastBytes) return 0;
  if (const int error = SyncRange(fd, range, SYNC_FILE_RANGE_WRITE); error != 0) return error;
  {
    const std::lock_guard lock(mutex_);
    under_way_.push_back(range);
    under_way_bytes_ += range.size();
  }
  while (true) {
    std::optional<ByteRange> oldest;
    {
      const std::lock_guard lock(mutex_);
      if (under_way_bytes_ > kWindowBytes) {
        oldest = under_way_.front();
        under_way_.pop_front();
        under_way_bytes_ -= oldest->size();
      }
    }
    if (!oldest) return 0;
    const int error =
        SyncRange(fd, *oldest,
                  SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    if (error != 0) return error;
    DropCached(fd, *oldest);
  }
}

}  // namespace ckpt
