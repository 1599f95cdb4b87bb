#include "store/file/file_store.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <thread>
#include <utility>

#include "base/text.h"
#include "store/file/file_error.h"
#include "store/file/file_reader.h"
#include "store/file/file_writer.h"
#include "store/file/folder_tree.h"
#include "store/file/io_pool.h"
#include "store/file/listing.h"
#include "store/file/positioned_file.h"
#include "store/file/publish.h"

namespace ckpt {
namespace {

constexpr unsigned kLeastThreads = 3;  // the disk has work while two begin or end
constexpr unsigned kMostThreads = 16;

class FileStore final : public Store {
 public:
  FileStore(Uri root, IoMode mode, std::unique_ptr<IoPool> pool)
      : root_(std::move(root)), mode_(mode), pool_(std::move(pool)), folders_(root_.path()) {}

  const Uri& root() const override { return root_; }

  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token stop) override {
    if (!prefix.empty()) CKPT_TRY_VOID(SafeName(prefix));
    return ListFiles(root_.path(), prefix, stop);
  }

  Result<ObjectInfo> Stat(std::string_view name) override {
    CKPT_TRY_VOID(SafeName(name));
    struct stat found {};
    const std::string path = PathOf(name);
    if (stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode)) return InfoOf(name, found);
    const int error = errno;
    return Result<ObjectInfo>(found.st_mode != 0 ? FailKind() : FailMissing(path, error))
        .map_error(Where("file", Place(name)));
  }

  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    CKPT_TRY_VOID(SafeName(info.name));
    return OpenFileReader(*pool_, mode_, PathOf(info.name), Place(info.name), info);
  }

  Result<std::unique_ptr<ObjectWriter>> Create(std::string_view name,
                                               CreateOptions options) override {
    CKPT_TRY_VOID(SafeName(name));
    return CreateFileWriter(folders_, name, Place(name), options);
  }

  Result<std::unique_ptr<PositionedWriter>> CreatePositioned(std::string_view name,
                                                             uint64_t size_bytes,
                                                             CreateOptions options) override {
    CKPT_TRY_VOID(SafeName(name));
    return CreatePositionedFile(*pool_, mode_, folders_, name, Place(name), size_bytes, options);
  }

  bool RenamesFolders() const override { return true; }

  Result<void> RenameFolder(std::string_view from, std::string_view to) override {
    CKPT_TRY_VOID(SafeName(from));
    CKPT_TRY_VOID(SafeName(to));
    return Rename(SplitName(from), SplitName(to)).map_error(Where("folder", Place(to)));
  }

  Result<void> Remove(std::string_view name) override {
    CKPT_TRY_VOID(SafeName(name));
    const SplitName split(name);
    return RemoveFiles(split.folder, {&split.leaf, 1}).map_error(Where("file", Place(name)));
  }

  Result<std::unique_ptr<ObjectReader>> OpenUnfinished(std::string_view name,
                                                       std::string_view session) override {
    if (session != kPartSession) return std::unique_ptr<ObjectReader>();
    CKPT_TRY(const ObjectInfo info, Stat(std::string(name) + std::string(kPartSuffix)));
    return Open(info);
  }

  Result<void> DropUnfinished(std::string_view name, std::string_view session) override {
    if (session != kPartSession) return {};
    return Remove(std::string(name) + std::string(kPartSuffix));
  }

  Result<void> RemoveAll(std::string_view folder) override {
    CKPT_TRY(const std::vector<ObjectInfo> objects, List(folder, {}));
    std::map<std::string, std::vector<std::string>> leaves;  // by folder
    for (const ObjectInfo& object : objects) {
      SplitName split(object.name);
      leaves[split.folder].push_back(std::move(split.leaf));
    }
    for (const auto& [name, files] : leaves)
      CKPT_TRY_VOID(RemoveFiles(name, files).map_error(Where("folder", Place(name))));
    // Also one whose files have all gone elsewhere.
    if (!folder.empty()) folders_.RemoveEmpty(folder);
    return {};
  }

 private:
  std::string PathOf(std::string_view name) const { return root_.path() + "/" + std::string(name); }
  std::string Place(std::string_view name) const { return Printable(root_.PrintBelow(name)); }

  static tl::unexpected<Error> FailKind() {
    return Fail(Code::kNotFound, "is no regular file", "name a file");
  }

  // A dangling link is what a model cache looks like whose blobs are on another disk or were
  // cleaned away.
  static tl::unexpected<Error> FailMissing(const std::string& path, int error_number) {
    std::error_code ignored;
    const std::filesystem::path target = std::filesystem::read_symlink(path, ignored);
    if (error_number != ENOENT || target.empty())
      return FailFile(FileSide::kSource, error_number, "find it");
    return Fail(Code::kNotFound,
                fmt::format("is a symbolic link to \"{}\", which does not exist",
                            Printable(target.native())),
                "fetch the file again, or mount the place that it links to");
  }

  Result<void> Rename(const SplitName& from, const SplitName& to) {
    CKPT_TRY(const Descriptor old_folder, folders_.Open(from.folder));
    if (!old_folder.is_open()) return FailFile(FileSide::kOutput, ENOENT, "give it its name");
    CKPT_TRY(const Descriptor new_folder, folders_.Make(to.folder));
    if (renameat(old_folder.get(), from.leaf.c_str(), new_folder.get(), to.leaf.c_str()) != 0)
      return FailFile(FileSide::kOutput, errno, "give it its name");
    for (const Descriptor* folder : {&new_folder, &old_folder}) {
      if (const int error = SyncFile(folder->get()); error != 0)
        return FailFile(FileSide::kOutput, error, "make its name durable");
    }
    return {};
  }

  // Files of one folder; those that are missing are as good as removed.
  Result<void> RemoveFiles(const std::string& folder_name, std::span<const std::string> leaves) {
    CKPT_TRY(const Descriptor folder, folders_.Open(folder_name));
    if (!folder.is_open()) return {};
    bool is_changed = false;
    for (const std::string& leaf : leaves) {
      if (unlinkat(folder.get(), leaf.c_str(), 0) == 0) {
        is_changed = true;
      } else if (errno != ENOENT) {
        return FailFile(FileSide::kOutput, errno, "remove it");
      }
    }
    if (!is_changed) return {};
    if (const int error = SyncFile(folder.get()); error != 0)
      return FailFile(FileSide::kOutput, error, "make its removal durable");
    folders_.RemoveEmpty(folder_name);
    folders_.RemoveEmptyMade("");  // a root that only this store's objects made necessary
    return {};
  }

  const Uri root_;
  const IoMode mode_;
  const std::unique_ptr<IoPool> pool_;
  FolderTree folders_;
};

}  // namespace

Result<std::unique_ptr<Store>> OpenFileStore(Uri root, FileStoreOptions options) {
  if (root.scheme() != "file")
    return Fail(Code::kUsage, fmt::format("\"{}\" is no path of a file system", root.Print()),
                "name a folder");
  const unsigned threads = options.io_threads > 0 ? options.io_threads
                                                  : std::clamp(std::thread::hardware_concurrency(),
                                                               kLeastThreads, kMostThreads);
  CKPT_TRY(std::unique_ptr<IoPool> pool, IoPool::Start(threads));
  return std::make_unique<FileStore>(std::move(root), options.io_mode, std::move(pool));
}

}  // namespace ckpt
