#include "store/file/file_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/units.h"
#include "store/file/descriptor.h"
#include "store/file/file_error.h"
#include "store/file/page_cache.h"
#include "store/file/publish.h"

namespace ckpt {
namespace {

constexpr size_t kFlushBytes = 8 * kMiB;
// Of a small file, so that it can be written once more.
constexpr size_t kKeptBytes = 64 * kKiB;
constexpr int kTries = 5;

class FileWriter final : public ObjectWriter {
 public:
  FileWriter(FolderTree& folders, std::string_view name, std::string place, CreateOptions options)
      : folders_(folders),
        name_(name),
        split_(name),
        place_(std::move(place)),
        temporary_(TemporaryName(split_, options)),
        options_(std::move(options)) {}
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  ~FileWriter() override {
    if (is_done_ || !new_.folder.is_open()) return;
    new_.file.Close();
    unlinkat(new_.folder.get(), temporary_.leaf.c_str(), 0);
    folders_.RemoveEmptyMade(temporary_.folder);
  }

  Result<void> Open() {
    CKPT_TRY(new_, OpenNewFile(folders_, split_, temporary_, O_CREAT | O_EXCL, options_));
    return {};
  }

  Result<void> Append(std::span<const std::byte> bytes) override {
    CKPT_CHECK(!is_done_);
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min(bytes.size(), kFlushBytes));
      if (Result<void> written = Write(piece); !written) {
        has_failed_ = true;
        return written.map_error(Where("byte", ToString({size_bytes_, size_bytes_ + piece.size()})))
            .map_error(Where("file", place_));
      }
      crc32c_.Append(piece);
      size_bytes_ += piece.size();
      if (size_bytes_ <= kKeptBytes) kept_.insert(kept_.end(), piece.begin(), piece.end());
      bytes = bytes.subspan(piece.size());
    }
    return {};
  }

  Result<ObjectInfo> Commit() override {
    CKPT_CHECK(!is_done_);
    return Finish().map_error(Where("file", place_));
  }

 private:
  Result<void> Write(std::span<const std::byte> piece) {
    const Transfer transfer = WriteAllAt(new_.file.get(), piece, size_bytes_);
    if (transfer.error != 0)
      return FailOutput(transfer.error, "write", new_.folder.get(), piece.size());
    const uint64_t end = size_bytes_ + piece.size();
    if (end - flushed_bytes_ < kFlushBytes) return {};
    const int error = write_behind_.Wrote(new_.file.get(), {flushed_bytes_, end});
    flushed_bytes_ = end;
    if (error != 0) return FailOutput(error, "write", new_.folder.get(), piece.size());
    return {};
  }

  Result<ObjectInfo> Finish() {
    // The kernel reports a lost write once; a later fsync would succeed.
    if (has_failed_)
      return Fail(Code::kIo, "cannot be finished: an earlier write failed", "see the first error");
    Result<Descriptor> folder = Descriptor();
    for (int tries_left = kTries;; --tries_left) {
      int error = SyncFile(new_.file.get());
      if (error == 0) error = new_.file.Close();
      if (error != 0) {
        has_failed_ = true;
        return FailOutput(error, "make the file durable", new_.folder.get(), size_bytes_);
      }
      folder = PublishNewFile(folders_, new_.folder, temporary_, split_, options_);
      if (folder || size_bytes_ > kKeptBytes || tries_left == 1 || !IsGone()) break;
      CKPT_TRY_VOID(WriteAgain());
    }
    if (!folder) return Fail(std::move(folder).error());
    is_done_ = true;
    CKPT_TRY(ObjectInfo info, PublishedInfo(folder->get(), split_.leaf, name_));
    info.crc32c = crc32c_;
    return info;
  }

  // Another process that begins in the same folder takes a small file that has no name yet for what
  // a killed one has left, and removes it: two shards of one run.
  bool IsGone() const {
    struct stat found {};
    return fstatat(new_.folder.get(), temporary_.leaf.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0 &&
           errno == ENOENT;
  }

  Result<void> WriteAgain() {
    CKPT_TRY(new_, OpenNewFile(folders_, split_, temporary_, O_CREAT | O_EXCL, options_));
    const Transfer transfer = WriteAllAt(new_.file.get(), kept_, 0);
    if (transfer.error != 0)
      return FailOutput(transfer.error, "write", new_.folder.get(), kept_.size());
    return {};
  }

  FolderTree& folders_;
  const std::string name_;
  const SplitName split_;
  const std::string place_;
  const SplitName temporary_;
  const CreateOptions options_;
  NewFile new_;
  WriteBehind write_behind_;
  uint64_t size_bytes_ = 0;
  uint64_t flushed_bytes_ = 0;
  Crc32c crc32c_;
  std::vector<std::byte> kept_;  // of the first kKeptBytes
  bool has_failed_ = false;
  bool is_done_ = false;
};

}  // namespace

Result<std::unique_ptr<ObjectWriter>> CreateFileWriter(FolderTree& folders, std::string_view name,
                                                       std::string place, CreateOptions options) {
  auto writer = std::make_unique<FileWriter>(folders, name, place, std::move(options));
  if (Result<void> opened = writer->Open(); !opened)
    return Result<std::unique_ptr<ObjectWriter>>(tl::unexpected<Error>(std::move(opened).error()))
        .map_error(Where("file", std::move(place)));
  return std::unique_ptr<ObjectWriter>(std::move(writer));
}

}  // namespace ckpt
