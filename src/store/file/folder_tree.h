#pragma once

#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/file/descriptor.h"

namespace ckpt {

/// "a/b/c" -> {"a/b", "c"}; "c" -> {"", "c"}.
struct SplitName {
  explicit SplitName(std::string_view name);
  std::string folder;
  std::string leaf;
};

/// Thread-safe. The folders below the root of an output. Goes down one part at a time and through
/// no symbolic link, so a name that passed SafeName() cannot lead out of the root.
/// (openat2(RESOLVE_BENEATH) would save a few calls a file, but is refused by older kernels and
/// sandboxes and makes no folders: this walk is needed anyway, and one way is tested once.) The
/// root itself is the user's word: links in it are followed.
class FolderTree {
 public:
  explicit FolderTree(std::string root) : root_(std::move(root)) {}

  /// Descriptor of the folder, not open where it or the root does not exist. kCannotCreate where a
  /// part is no folder.
  Result<Descriptor> Open(std::string_view folder);
  /// The same, making what is missing (the root and its parents too), each durable in its parent.
  Result<Descriptor> Make(std::string_view folder);

  /// Removes `folder` and its parents as far as they are empty and made by this tree, up to the
  /// root's own parents: an abandoned output leaves nothing.
  void RemoveEmptyMade(std::string_view folder);
  /// Removes `folder` and its parents below the root as far as they are empty.
  void RemoveEmpty(std::string_view folder);

 private:
  Result<Descriptor> Walk(std::string_view folder, bool is_making);
  Result<void> MakeRoot();
  bool WasMade(const std::string& path);
  void NoteMade(std::string path);

  const std::string root_;
  std::mutex mutex_;
  std::set<std::string> made_;  // paths, those below the root as root + '/' + folder
};

}  // namespace ckpt
