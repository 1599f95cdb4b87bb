#include "store/file/positioned_file.h"

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
        part_leaf_(split_.leaf + ".part"),
        size_bytes_(size_bytes),
        options_(options),
        group_(pool) {}
  PositionedFile(const PositionedFile&) = delete;
  PositionedFile& operator=(const PositionedFile&) = delete;

  ~PositionedFile() override {
    group_.Wait();
    if (is_done_ || !folder_.is_open()) return;
    // By inode: a .part of that name may be another writer's by now.
    if (part_.IsNamed(folder_.get(), part_leaf_.c_str()))
      unlinkat(folder_.get(), part_leaf_.c_str(), 0);
    part_.Close();
    folders_.RemoveEmptyMade(split_.folder);
  }

  Result<void> Open(IoMode mode) {
    CKPT_TRY(NewFile made, OpenNewFile(folders_, split_, part_leaf_, 0, options_));
    folder_ = std::move(made.folder);
    return part_.Open(std::move(made.file), folder_.get(), part_leaf_.c_str(), size_bytes_, mode);
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

  Result<void> Sync() override {
    CKPT_CHECK(!is_done_);
    const int error = part_.Sync();
    if (error == 0) return {};
    has_failed_ = true;
    return Result<void>(FailOutput(error, "make the file durable", folder_.get(), size_bytes_))
        .map_error(Where("file", place_));
  }

  Result<ObjectInfo> Commit() override {
    CKPT_CHECK(!is_done_);
    group_.Wait();
    return Finish().map_error(Where("file", place_));
  }

 private:
  Result<ObjectInfo> Finish() {
    // The kernel reports a lost write once; a later fsync would succeed.
    if (has_failed_)
      return Fail(Code::kIo, "cannot be finished: an earlier write failed", "see the first error");
    const bool is_ours = part_.IsNamed(folder_.get(), part_leaf_.c_str());
    const bool is_published = !is_ours && part_.IsNamed(folder_.get(), split_.leaf.c_str());
    if (!is_ours && !is_published)
      return Fail(Code::kCannotCreate, "its .part was removed or replaced by another process",
                  "let one process at a time write this output");
    if (const int error = part_.Finish(); error != 0) {
      has_failed_ = true;
      return FailOutput(error, "make the file durable", folder_.get(), size_bytes_);
    }
    // Another writer of the same .part may have been faster: our bytes are in its file.
    if (!is_published) CKPT_TRY_VOID(Publish(folder_.get(), part_leaf_, split_.leaf, options_));
    is_done_ = true;
    return PublishedInfo(folder_.get(), split_.leaf, name_);
  }

  FolderTree& folders_;
  const std::string name_;
  const SplitName split_;
  const std::string place_;
  const std::string part_leaf_;
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
  auto writer = std::make_unique<PositionedFile>(pool, folders, name, place, size_bytes, options);
  if (Result<void> opened = writer->Open(mode); !opened)
    return Result<std::unique_ptr<PositionedWriter>>(
               tl::unexpected<Error>(std::move(opened).error()))
        .map_error(Where("file", std::move(place)));
  return std::unique_ptr<PositionedWriter>(std::move(writer));
}

}  // namespace ckpt
