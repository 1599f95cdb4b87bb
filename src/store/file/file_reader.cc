#include "store/file/file_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/units.h"
#include "store/file/descriptor.h"
#include "store/file/file_error.h"
#include "store/file/page_cache.h"
#include "store/file/publish.h"

namespace ckpt {
namespace {

constexpr uint64_t kLeastDroppedBytes =
    kMiB;  // smaller reads are headers, which somebody may want again

tl::unexpected<Error> FailChanged() {
  return Fail(Code::kBadInput, "changed since it was first seen",
              "wait until nothing writes to the source, then run again");
}

// Whether a file that ends at byte `end` holds the range.
Result<void> CheckEnd(uint64_t end, ByteRange range) {
  if (range.end <= end) return {};
  return Fail(Code::kBadInput,
              fmt::format("ends at byte {}, {} expected: truncated while reading?", end, range.end),
              "fetch this file again");
}

tl::unexpected<Error> FailDirectRefused(int error_number) {
  return Fail(Code::kUsage,
              fmt::format("its file system refuses direct I/O (errno {})", error_number),
              "use --io auto or --io buffered");
}

class FileReader final : public ObjectReader {
 public:
  FileReader(IoPool& pool, IoMode mode, std::string place, ObjectInfo info, Descriptor buffered,
             Descriptor direct, bool is_cached)
      : mode_(mode),
        place_(std::move(place)),
        info_(std::move(info)),
        buffered_(std::move(buffered)),
        direct_(std::move(direct)),
        is_cached_(is_cached),
        is_direct_(direct_.is_open()),
        group_(pool) {}

  const ObjectInfo& info() const override { return info_; }
  bool IsInMemory() const override { return is_cached_; }

  IoFuture ReadWindow(ByteRange range, std::span<std::byte> window) override {
    CKPT_CHECK(window.size() >= AlignOutward(range, kIoAlignment).size());
    return group_.Post([this, range, window] {
      Result<void> result = CheckEnd(info_.size_bytes, range);
      if (result) result = ReadBulk(range, window);
      return Placed(range, std::move(result));
    });
  }

  Result<void> Read(ByteRange range, std::span<std::byte> into) override {
    CKPT_CHECK(into.size() == range.size());
    Result<void> result = CheckEnd(info_.size_bytes, range);
    if (result) result = ReadBuffered(range, into);
    return Placed(range, std::move(result));
  }

 private:
  // Adds the place; and fails a read that went well, but of bytes that somebody was changing.
  Result<void> Placed(ByteRange range, Result<void> result) {
    if (result) result = CheckUnchanged();
    if (result) return result;
    return std::move(result)
        .map_error(Where("byte", ToString(range)))
        .map_error(Where("file", place_));
  }

  Result<void> CheckUnchanged() {
    struct stat now {};
    if (fstat(buffered_.get(), &now) != 0)
      return FailFile(FileSide::kSource, errno, "look at the file");
    if (InfoOf(info_.name, now).generation != info_.generation) return FailChanged();
    return {};
  }

  Result<void> ReadBulk(ByteRange range, std::span<std::byte> window) {
    if (is_direct_) return ReadDirect(range, window);
    CKPT_TRY_VOID(ReadBuffered(range, window.subspan(range.begin % kIoAlignment, range.size())));
    // Else a model larger than memory would push out everybody else's pages; what was cached before
    // stays.
    if (mode_ == IoMode::kAuto && !is_cached_ && range.size() >= kLeastDroppedBytes)
      DropCached(buffered_.get(), range);
    return {};
  }

  // Reads whole blocks. At the end of the file a direct read ends inside a block; whatever it did
  // not bring comes buffered, which also finds out where a cut file ends.
  Result<void> ReadDirect(ByteRange range, std::span<std::byte> window) {
    const ByteRange blocks = AlignOutward(range, kIoAlignment);
    uint64_t at = blocks.begin;
    while (at < range.end) {
      const size_t size = std::min<uint64_t>(blocks.end - at, kMaxTransferBytes);
      const ssize_t came =
          pread(direct_.get(), window.data() + (at - blocks.begin), size, static_cast<off_t>(at));
      if (came < 0 && errno == EINTR) continue;
      if (came < 0 && errno != EINVAL) return FailFile(FileSide::kSource, errno, "read");
      if (came < 0) {
        if (mode_ == IoMode::kDirect) return FailDirectRefused(EINVAL);
        is_direct_ = false;
        break;
      }
      at += static_cast<uint64_t>(came);
      if (came == 0 || at % kIoAlignment != 0) break;
    }
    if (at >= range.end) return {};
    const ByteRange rest{at, range.end};
    return ReadBuffered(rest, window.subspan(rest.begin - blocks.begin, rest.size()));
  }

  Result<void> ReadBuffered(ByteRange range, std::span<std::byte> into) {
    const Transfer transfer = ReadAt(buffered_.get(), into, range.begin);
    if (transfer.error != 0) return FailFile(FileSide::kSource, transfer.error, "read");
    if (transfer.bytes == into.size()) return {};
    // A read that began beyond the end does not know where that is.
    uint64_t end = range.begin + transfer.bytes;
    struct stat now {};
    if (fstat(buffered_.get(), &now) == 0) end = std::min(end, static_cast<uint64_t>(now.st_size));
    return CheckEnd(end, range);
  }

  const IoMode mode_;
  const std::string place_;
  const ObjectInfo info_;
  const Descriptor buffered_;
  const Descriptor direct_;
  const bool is_cached_;
  std::atomic<bool> is_direct_;
  IoGroup group_;  // last: its end waits for the reads before the descriptors go
};

// Not open where buffered I/O is the better or the only way.
Result<Descriptor> OpenDirect(const std::string& path, IoMode mode, const struct stat& pinned) {
  Descriptor direct(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  if (!direct.is_open()) {
    if (errno != EINVAL && errno != EOPNOTSUPP) return FailFile(FileSide::kSource, errno, "open");
    if (mode == IoMode::kDirect) return FailDirectRefused(errno);
    return direct;
  }
  struct stat found {};
  if (fstat(direct.get(), &found) != 0)
    return FailFile(FileSide::kSource, errno, "look at the file");
  if (!IsSameFile(found, pinned)) return FailChanged();
  return direct;
}

Result<std::unique_ptr<ObjectReader>> Open(IoPool& pool, IoMode mode, const std::string& path,
                                           std::string place, const ObjectInfo& info) {
  Descriptor buffered(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!buffered.is_open()) return FailFile(FileSide::kSource, errno, "open");
  struct stat found {};
  if (fstat(buffered.get(), &found) != 0)
    return FailFile(FileSide::kSource, errno, "look at the file");
  if (!S_ISREG(found.st_mode) || InfoOf(info.name, found).generation != info.generation)
    return FailChanged();
  const bool is_cached = mode == IoMode::kAuto && IsCached(buffered.get(), info.size_bytes);
  Descriptor direct;
  if (mode != IoMode::kBuffered && !is_cached && info.size_bytes > 0) {
    CKPT_TRY(direct, OpenDirect(path, mode, found));
  }
  // Wider readahead for the reads that go through the cache.
  if (!direct.is_open()) posix_fadvise(buffered.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  return std::make_unique<FileReader>(pool, mode, std::move(place), info, std::move(buffered),
                                      std::move(direct), is_cached);
}

}  // namespace

Result<std::unique_ptr<ObjectReader>> OpenFileReader(IoPool& pool, IoMode mode,
                                                     const std::string& path,
                                                     const std::string& place,
                                                     const ObjectInfo& info) {
  return Open(pool, mode, path, place, info).map_error(Where("file", place));
}

}  // namespace ckpt
