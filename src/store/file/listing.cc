#include "store/file/listing.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/text.h"
#include "store/file/file_error.h"
#include "store/file/publish.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;

std::string Join(std::string_view folder, std::string_view name) {
  if (folder.empty()) return std::string(name);
  return std::string(folder) + "/" + std::string(name);
}

struct Listing {
  const std::string& root;
  std::vector<ObjectInfo> files;
  std::vector<std::string> folders;  // yet to be read

  // Whatever vanishes meanwhile was never there.
  Result<void> Add(const std::string& name) {
    const std::string path = Join(root, name);
    struct stat found {};
    if (lstat(path.c_str(), &found) != 0) return Vanished(errno);
    if (S_ISDIR(found.st_mode)) folders.push_back(name);
    if (S_ISLNK(found.st_mode) && stat(path.c_str(), &found) != 0) return Vanished(errno);
    if (S_ISREG(found.st_mode)) files.push_back(InfoOf(name, found));
    return {};
  }

  static Result<void> Vanished(int error_number) {
    if (error_number == ENOENT || error_number == ELOOP || error_number == ENOTDIR) return {};
    return FailFile(FileSide::kSource, error_number, "look at a file");
  }

  Result<void> ReadFolder(const std::string& folder, const std::stop_token& stop) {
    std::error_code error;
    fs::directory_iterator entry(Join(root, folder), error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      if (stop.stop_requested()) return Fail(Code::kInterrupted, "stopped while listing files");
      CKPT_TRY_VOID(Add(Join(folder, entry->path().filename().native())));
    }
    if (!error || error.value() == ENOENT || error.value() == ENOTDIR) return {};
    return FailFile(FileSide::kSource, error.value(), "list the folder");
  }
};

}  // namespace

Result<std::vector<ObjectInfo>> ListFiles(const std::string& root, std::string_view folder,
                                          const std::stop_token& stop) {
  struct stat found {};
  if (stat(root.c_str(), &found) == 0 && !S_ISDIR(found.st_mode)) {
    return Result<std::vector<ObjectInfo>>(
               Fail(Code::kBadInput, "is a file, not a folder", "name the folder that holds it"))
        .map_error(Where("folder", Printable(root)));
  }
  Listing listing{root, {}, {std::string(folder)}};
  while (!listing.folders.empty()) {
    const std::string next = std::move(listing.folders.back());
    listing.folders.pop_back();
    if (Result<void> read = listing.ReadFolder(next, stop); !read) {
      return Result<std::vector<ObjectInfo>>(tl::unexpected<Error>(std::move(read).error()))
          .map_error(Where("folder", Printable(Join(root, next))));
    }
  }
  std::sort(listing.files.begin(), listing.files.end(),
            [](const ObjectInfo& a, const ObjectInfo& b) { return a.name < b.name; });
  return std::move(listing.files);
}

}  // namespace ckpt
