#include "store/file/positioned_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <utility>

#include "base/check.h"
#include "store/file/file_error.h"
#include "store/file/part_file.h"
#include "store/file/publish.h"

namespace ckpt {
namespace {

class PositionedFile final : public PositionedWriter {
 public:
  PositionedFile(IoPool& pool, FolderTree& folders, std::string_view name, std::string place,
                 uint64_t size_bytes, CreateOptions options)
      : folders_(folders),
        name_(name),
        split_(name),
        place_(std::move(place)),
        temporary_(NameUntilWhole(split_, options)),
        size_bytes_(size_bytes),
        options_(std::move(options)),
        group_(pool) {}
  PositionedFile(const PositionedFile&) = delete;
  PositionedFile& operator=(const PositionedFile&) = delete;

  ~PositionedFile() override {
    group_.Wait();
    if (is_done_ || options_.is_kept || !folder_.is_open()) return;
    // By inode: a .part of that name may be another writer's by now.
    if (part_.IsNamed(folder_.get(), temporary_.leaf.c_str()))
      unlinkat(folder_.get(), temporary_.leaf.c_str(), 0);
    part_.Close();
    folders_.RemoveEmptyMade(temporary_.folder);
  }

  Result<void> Open(IoMode mode) {
    const bool is_begun = !options_.session.empty();
    CKPT_TRY(NewFile made,
             OpenNewFile(folders_, split_, temporary_, is_begun ? 0 : O_CREAT, options_));
    struct stat found {};
    if (is_begun &&
        (fstat(made.file.get(), &found) != 0 || std::cmp_not_equal(found.st_size, size_bytes_)))
      return Fail(Code::kNotFound, "the unfinished file has another size", "run again");
    folder_ = std::move(made.folder);
    return part_.Open(std::move(made.file), folder_.get(), temporary_.leaf.c_str(), size_bytes_,
                      mode);
  }

  IoFuture WriteAt(uint64_t offset, std::span<const std::byte> bytes) override {
    CKPT_CHECK(!is_done_ && offset <= size_bytes_ && bytes.size() <= size_bytes_ - offset);
    return group_.Post([this, offset, bytes]() -> Result<void> {
      Result<void> result = part_.Write(bytes, offset);
      if (result) return result;
      has_failed_ = true;
      return result.map_error(Where("byte", ToString({offset, offset + bytes.size()})))
          .map_error(Where("file", place_));
    });
  }

  Result<std::string> Settle(ByteRange /*range*/) override {
    CKPT_CHECK(!is_done_);
    const int error = part_.Sync();
    if (error == 0) return std::string();
    has_failed_ = true;
    return Result<std::string>(
               FailOutput(error, "make the file durable", folder_.get(), size_bytes_))
        .map_error(Where("file", place_));
  }

  Result<void> TakeOver(ByteRange /*range*/, std::string_view /*receipt*/) override { return {}; }

  // The name says it all.
  std::string session() const override { return std::string(kPartSession); }

  Result<ObjectInfo> Commit() override {
    CKPT_CHECK(!is_done_);
    group_.Wait();
    return Finish().map_error(Where("file", place_));
  }

 private:
  static SplitName NameUntilWhole(const SplitName& name, const CreateOptions& options) {
    if (!options.is_kept && !options.temporary_folder.empty()) return TemporaryName(name, options);
    SplitName part = name;
    part.leaf += kPartSuffix;
    return part;
  }

  Result<ObjectInfo> Finish() {
    // The kernel reports a lost write once; a later fsync would succeed.
    if (has_failed_)
      return Fail(Code::kIo, "cannot be finished: an earlier write failed", "see the first error");
    const bool is_ours = part_.IsNamed(folder_.get(), temporary_.leaf.c_str());
    if (!is_ours && !IsPublished())
      return Fail(Code::kCannotCreate, "its .part was removed or replaced by another process",
                  "let one process at a time write this output");
    if (const int error = part_.Finish(); error != 0) {
      has_failed_ = true;
      return FailOutput(error, "make the file durable", folder_.get(), size_bytes_);
    }
    if (!is_ours) return EndPublished();
    Result<Descriptor> folder = PublishNewFile(folders_, folder_, temporary_, split_, options_);
    if (!folder && IsPublished()) return EndPublished();
    if (!folder) return Fail(std::move(folder).error());
    is_done_ = true;
    return PublishedInfo(folder->get(), split_.leaf, name_);
  }

  // Whether another writer of the same .part was faster: our bytes are in its file.
  bool IsPublished() const {
    return temporary_.folder == split_.folder && part_.IsNamed(folder_.get(), split_.leaf.c_str());
  }
  Result<ObjectInfo> EndPublished() {
    is_done_ = true;
    // It may not have come to that yet.
    if (const int error = SyncFile(folder_.get()); error != 0)
      return FailFile(FileSide::kOutput, error, "make its name durable");
    return PublishedInfo(folder_.get(), split_.leaf, name_);
  }

  FolderTree& folders_;
  const std::string name_;
  const SplitName split_;
  const std::string place_;
  const SplitName temporary_;  // until it is whole
  const uint64_t size_bytes_;
  const CreateOptions options_;
  Descriptor folder_;
  PartFile part_;
  std::atomic<bool> has_failed_ = false;
  bool is_done_ = false;
  IoGroup group_;  // last: its end waits for the writes before the descriptors go
};

}  // namespace

Result<std::unique_ptr<PositionedWriter>> CreatePositionedFile(
    IoPool& pool, IoMode mode, FolderTree& folders, std::string_view name, std::string place,
    uint64_t size_bytes, CreateOptions options) {
  auto writer =
      std::make_unique<PositionedFile>(pool, folders, name, place, size_bytes, std::move(options));
  if (Result<void> opened = writer->Open(mode); !opened)
    return Result<std::unique_ptr<PositionedWriter>>(
               tl::unexpected<Error>(std::move(opened).error()))
        .map_error(Where("file", std::move(place)));
  return std::unique_ptr<PositionedWriter>(std::move(writer));
}

}  // namespace ckpt
