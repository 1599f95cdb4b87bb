#include "store/file/folder_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "base/text.h"
#include "store/file/file_error.h"

namespace ckpt {
namespace {

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
constexpr mode_t kFolderMode = 0777;  // less umask

std::vector<std::string> PartsOf(std::string_view folder) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin < folder.size();) {
    const size_t end = std::min(folder.find('/', begin), folder.size());
    parts.emplace_back(folder.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// ENOTDIR is what O_DIRECTORY with O_NOFOLLOW says of a file and of a link.
tl::unexpected<Error> FailFolder(int error_number, std::string_view action,
                                 std::string_view folder) {
  if (error_number != ENOTDIR && error_number != ELOOP)
    return FailFile(FileSide::kOutput, error_number,
                    fmt::format("{} the folder \"{}\"", action, Printable(folder)));
  return Fail(Code::kCannotCreate,
              fmt::format("\"{}\" is a file or a symbolic link, not a folder", Printable(folder)),
              "name another output, or remove it");
}

// The folder that holds `path`.
std::string ParentOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

Result<void> SyncFolderOf(int parent_fd, std::string_view folder) {
  if (const int error = SyncFile(parent_fd); error != 0)
    return FailFolder(error, "make durable", folder);
  return {};
}

}  // namespace

SplitName::SplitName(std::string_view name) {
  const size_t slash = name.rfind('/');
  if (slash != std::string_view::npos) folder = name.substr(0, slash);
  leaf = name.substr(slash == std::string_view::npos ? 0 : slash + 1);
}

Result<Descriptor> FolderTree::Open(std::string_view folder) { return Walk(folder, false); }
Result<Descriptor> FolderTree::Make(std::string_view folder) { return Walk(folder, true); }

Result<void> FolderTree::MakeRoot() {
  // Upwards to what exists, then down again.
  std::vector<std::string> missing;
  std::string path = root_;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  for (struct stat found{}; path != "." && path != "/"; path = ParentOf(path)) {
    if (stat(path.c_str(), &found) == 0) break;
    if (errno != ENOENT) return FailFolder(errno, "look at", path);
    missing.push_back(path);
  }
  std::reverse(missing.begin(), missing.end());
  for (const std::string& folder : missing) {
    if (mkdir(folder.c_str(), kFolderMode) != 0) {
      if (errno != EEXIST) return FailFolder(errno, "make", folder);
      continue;
    }
    NoteMade(folder);
    const Descriptor parent(open(ParentOf(folder).c_str(), kFolderFlags));
    if (parent.is_open()) CKPT_TRY_VOID(SyncFolderOf(parent.get(), folder));
  }
  return {};
}

Result<Descriptor> FolderTree::Walk(std::string_view folder, bool is_making) {
  Descriptor at(open(root_.c_str(), kFolderFlags));
  if (!at.is_open() && errno == ENOENT && is_making) {
    CKPT_TRY_VOID(MakeRoot());
    at = Descriptor(open(root_.c_str(), kFolderFlags));
  }
  if (!at.is_open()) {
    if (errno == ENOENT && !is_making) return Descriptor();
    return FailFolder(errno, "open", root_);
  }
  std::string path = root_;
  for (const std::string& part : PartsOf(folder)) {
    path += "/" + part;
    Descriptor next(openat(at.get(), part.c_str(), kFolderFlags | O_NOFOLLOW));
    if (!next.is_open() && errno == ENOENT) {
      if (!is_making) return Descriptor();
      if (mkdirat(at.get(), part.c_str(), kFolderMode) == 0) {
        NoteMade(path);
        CKPT_TRY_VOID(SyncFolderOf(at.get(), path));
      } else if (errno != EEXIST) {
        return FailFolder(errno, "make", path);
      }
      next = Descriptor(openat(at.get(), part.c_str(), kFolderFlags | O_NOFOLLOW));
    }
    if (!next.is_open()) return FailFolder(errno, "open", path);
    at = std::move(next);
  }
  return at;
}

void FolderTree::RemoveEmptyMade(std::string_view folder) {
  std::string below(folder);
  while (!below.empty()) {
    if (!WasMade(root_ + "/" + below)) return;
    const SplitName name(below);
    const Result<Descriptor> parent = Open(name.folder);
    if (!parent || !parent->is_open()) return;
    if (unlinkat(parent->get(), name.leaf.c_str(), AT_REMOVEDIR) != 0) return;
    below = name.folder;
  }
  std::string path = root_;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  while (WasMade(path) && rmdir(path.c_str()) == 0) path = ParentOf(path);
}

// Not made durable: that an empty folder is back after a power cut harms nobody.
void FolderTree::RemoveEmpty(std::string_view folder) {
  for (std::string below(folder); !below.empty();) {
    const SplitName name(below);
    const Result<Descriptor> parent = Open(name.folder);
    if (!parent || !parent->is_open()) return;
    if (unlinkat(parent->get(), name.leaf.c_str(), AT_REMOVEDIR) != 0) return;
    below = name.folder;
  }
}

bool FolderTree::WasMade(const std::string& path) {
  const std::lock_guard lock(mutex_);
  return made_.contains(path);
}

void FolderTree::NoteMade(std::string path) {
  const std::lock_guard lock(mutex_);
  made_.insert(std::move(path));
}

}  // namespace ckpt
