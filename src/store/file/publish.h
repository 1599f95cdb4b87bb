#pragma once

#include <string>

#include "base/result.h"
#include "store/file/descriptor.h"
#include "store/file/folder_tree.h"
#include "store/store.h"

namespace ckpt {

/// Gives the finished, durable file `from` its name `to` in the same folder, and makes that
/// durable. With create-only, an existing `to` is never replaced, whoever is faster
/// (renameat2(RENAME_NOREPLACE), else a hard link; on mounts with neither, a look beforehand).
Result<void> Publish(int folder_fd, const std::string& from, const std::string& to,
                     CreateOptions options);

/// A file opened for writing, and the folder that holds it.
struct NewFile {
  Descriptor folder;
  Descriptor file;
};

/// Makes the folders of `name` and opens `leaf` beside it for reading and writing, with O_CREAT and
/// `more_flags`; mode 0644 less umask. Fails before anything is written if the name is a folder's,
/// or exists and may not be replaced.
Result<NewFile> OpenNewFile(FolderTree& folders, const SplitName& name, const std::string& leaf,
                            int more_flags, CreateOptions options);

/// The information of an open or named file.
ObjectInfo InfoOf(std::string_view name, const struct stat& found);

/// What Stat() would say of the file that was just published.
Result<ObjectInfo> PublishedInfo(int folder_fd, const std::string& leaf, std::string_view name);

}  // namespace ckpt
