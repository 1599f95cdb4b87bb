#include "store/file/publish.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

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
int RenameOver(int folder_fd, const std::string& from, const std::string& to) {
  return renameat(folder_fd, from.c_str(), folder_fd, to.c_str()) == 0 ? 0 : errno;
}

int RenameNew(int folder_fd, const std::string& from, const std::string& to) {
  if (renameat2(folder_fd, from.c_str(), folder_fd, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  if (linkat(folder_fd, from.c_str(), folder_fd, to.c_str(), 0) == 0) {
    unlinkat(folder_fd, from.c_str(), 0);  // the second name of a complete file harms nobody
    return 0;
  }
  if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK) return errno;
  if (Exists(folder_fd, to)) return EEXIST;
  return RenameOver(folder_fd, from, to);
}

Result<void> CheckReplaceable(int folder_fd, const std::string& leaf, CreateOptions options) {
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

Result<void> Publish(int folder_fd, const std::string& from, const std::string& to,
                     CreateOptions options) {
  const int error =
      options.is_create_only ? RenameNew(folder_fd, from, to) : RenameOver(folder_fd, from, to);
  if (error == EEXIST && options.is_create_only) return FailExists();
  if (error != 0) return FailFile(FileSide::kOutput, error, "give the file its name");
  if (const int sync_error = SyncFile(folder_fd); sync_error != 0)
    return FailFile(FileSide::kOutput, sync_error, "make its name durable");
  return {};
}

Result<NewFile> OpenNewFile(FolderTree& folders, const SplitName& name, const std::string& leaf,
                            int more_flags, CreateOptions options) {
  const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | more_flags;
  // More than one try, as another writer may have removed the folder, empty, between the calls.
  for (int tries_left = 3;; --tries_left) {
    NewFile made;
    CKPT_TRY(made.folder, folders.Make(name.folder));
    CKPT_TRY_VOID(CheckReplaceable(made.folder.get(), name.leaf, options));
    made.file = Descriptor(openat(made.folder.get(), leaf.c_str(), flags, kFileMode));
    if (made.file.is_open()) return made;
    const int error = errno;
    if (error == ENOENT && tries_left > 1) continue;
    tl::unexpected<Error> failure = FailOutput(error, "create the file", made.folder.get(), 0);
    folders.RemoveEmptyMade(name.folder);
    return failure;
  }
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
