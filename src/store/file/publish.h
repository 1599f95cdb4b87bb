#pragma once

#include <string>

#include "base/result.h"
#include "store/file/descriptor.h"
#include "store/file/folder_tree.h"
#include "store/store.h"

namespace ckpt {

/// Gives the finished, durable file `from` of one folder its name `to` in another or the same, and
/// makes that durable. With create-only, an existing `to` is never replaced, whoever is faster
/// (renameat2(RENAME_NOREPLACE), else a hard link; on mounts with neither, a look beforehand).
Result<void> Publish(int from_folder_fd, const std::string& from, int to_folder_fd,
                     const std::string& to, const CreateOptions& options);

/// A file opened for writing under the name that it has until it is whole, and the folder that
/// holds it.
struct NewFile {
  Descriptor folder;
  Descriptor file;
};

/// Makes the folders of `temporary` and opens it for reading and writing, with `flags` (O_CREAT,
/// O_EXCL); mode 0644 less umask. Fails before anything is written if `name`, the place of the
/// whole file, is a folder's, or exists and may not be replaced.
Result<NewFile> OpenNewFile(FolderTree& folders, const SplitName& name, const SplitName& temporary,
                            int flags, const CreateOptions& options);

/// Where a file lies until it is whole, under a name of its own: in options.temporary_folder, or
/// beside `name`.
SplitName TemporaryName(const SplitName& name, const CreateOptions& options);

/// Publish() of a file that TemporaryName() or another name beside it holds: makes the folder of
/// `name` where it is another one. Returns that folder.
Result<Descriptor> PublishNewFile(FolderTree& folders, const Descriptor& folder,
                                  const SplitName& temporary, const SplitName& name,
                                  const CreateOptions& options);

/// The information of an open or named file.
ObjectInfo InfoOf(std::string_view name, const struct stat& found);

/// What Stat() would say of the file that was just published.
Result<ObjectInfo> PublishedInfo(int folder_fd, const std::string& leaf, std::string_view name);

}  // namespace ckpt
