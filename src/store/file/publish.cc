#include "store/file/publish.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/random.h"
#include "store/file/file_error.h"

namespace ckpt {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr mode_t kFileMode = 0644;  // less umask

bool Exists(int folder_fd, const std::string& leaf) {
  struct stat found {};
  return fstatat(folder_fd, leaf.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0;
}

// 0 or errno.
int RenameOver(int from_fd, const std::string& from, int to_fd, const std::string& to) {
  return renameat(from_fd, from.c_str(), to_fd, to.c_str()) == 0 ? 0 : errno;
}

int RenameNew(int from_fd, const std::string& from, int to_fd, const std::string& to) {
  if (renameat2(from_fd, from.c_str(), to_fd, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  if (linkat(from_fd, from.c_str(), to_fd, to.c_str(), 0) == 0) {
    unlinkat(from_fd, from.c_str(), 0);  // the second name of a complete file harms nobody
    return 0;
  }
  if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK) return errno;
  if (Exists(to_fd, to)) return EEXIST;
  return RenameOver(from_fd, from, to_fd, to);
}

constexpr size_t kMaxLeafBytes = 255;

// Unique to one writer; cut so that the longest names have one too.
std::string TemporaryLeaf(const std::string& leaf) {
  const std::string suffix = fmt::format(".{}-{:016x}.tmp", getpid(), RandomBits());
  return leaf.substr(0, kMaxLeafBytes - suffix.size()) + suffix;
}

Result<void> CheckReplaceable(int folder_fd, const std::string& leaf,
                              const CreateOptions& options) {
  struct stat found {};
  if (fstatat(folder_fd, leaf.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return FailFile(FileSide::kOutput, errno, "look at its place");
  }
  if (S_ISDIR(found.st_mode)) return FailFile(FileSide::kOutput, EISDIR, "create the file");
  if (options.is_create_only) return FailExists();
  return {};
}

}  // namespace

Result<void> Publish(int from_folder_fd, const std::string& from, int to_folder_fd,
                     const std::string& to, const CreateOptions& options) {
  const int error = options.is_create_only ? RenameNew(from_folder_fd, from, to_folder_fd, to)
                                           : RenameOver(from_folder_fd, from, to_folder_fd, to);
  if (error == EEXIST && options.is_create_only) return FailExists();
  if (error != 0) return FailFile(FileSide::kOutput, error, "give the file its name");
  if (const int sync_error = SyncFile(to_folder_fd); sync_error != 0)
    return FailFile(FileSide::kOutput, sync_error, "make its name durable");
  return {};
}

SplitName TemporaryName(const SplitName& name, const CreateOptions& options) {
  SplitName temporary = name;
  if (!options.temporary_folder.empty()) temporary.folder = options.temporary_folder;
  temporary.leaf = TemporaryLeaf(name.leaf);
  return temporary;
}

Result<NewFile> OpenNewFile(FolderTree& folders, const SplitName& name, const SplitName& temporary,
                            int flags, const CreateOptions& options) {
  constexpr int always = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
  if (temporary.folder != name.folder) {
    CKPT_TRY(const Descriptor folder, folders.Open(name.folder));
    if (folder.is_open()) CKPT_TRY_VOID(CheckReplaceable(folder.get(), name.leaf, options));
  }
  // More than one try, as another writer may have removed the folder, empty, between the calls.
  for (int tries_left = 3;; --tries_left) {
    NewFile made;
    CKPT_TRY(made.folder, folders.Make(temporary.folder));
    if (temporary.folder == name.folder)
      CKPT_TRY_VOID(CheckReplaceable(made.folder.get(), name.leaf, options));
    made.file =
        Descriptor(openat(made.folder.get(), temporary.leaf.c_str(), always | flags, kFileMode));
    if (made.file.is_open()) return made;
    const int error = errno;
    if (error == ENOENT && (flags & O_CREAT) != 0 && tries_left > 1) continue;
    tl::unexpected<Error> failure =
        error == ENOENT && (flags & O_CREAT) == 0
            ? Fail(Code::kNotFound, "the unfinished file is gone", "run again")
            : FailOutput(error, "create the file", made.folder.get(), 0);
    folders.RemoveEmptyMade(temporary.folder);
    return failure;
  }
}

Result<Descriptor> PublishNewFile(FolderTree& folders, const Descriptor& folder,
                                  const SplitName& temporary, const SplitName& name,
                                  const CreateOptions& options) {
  CKPT_TRY(Descriptor into, folders.Make(name.folder));
  CKPT_TRY_VOID(Publish(folder.get(), temporary.leaf, into.get(), name.leaf, options));
  return into;
}

ObjectInfo InfoOf(std::string_view name, const struct stat& found) {
  ObjectInfo info;
  info.name = name;
  info.size_bytes = static_cast<uint64_t>(found.st_size);
  info.modified_ns = found.st_mtim.tv_sec * kNsPerSecond + found.st_mtim.tv_nsec;
  info.generation.value = fmt::format("{}-{}-{}", info.size_bytes, info.modified_ns, found.st_ino);
  return info;
}

Result<ObjectInfo> PublishedInfo(int folder_fd, const std::string& leaf, std::string_view name) {
  struct stat found {};
  if (fstatat(folder_fd, leaf.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0)
    return FailFile(FileSide::kOutput, errno, "find the finished file");
  return InfoOf(name, found);
}

}  // namespace ckpt
