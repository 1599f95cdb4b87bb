#include "cli/output_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/text.h"
#include "run/mark.h"

namespace ckpt {
namespace {

// The folder and those above it that are not there yet, outermost first.
std::vector<std::string> MakeFolders(const std::string& folder) {
  std::vector<std::string> made;
  for (size_t at = folder.find('/', 1); true; at = folder.find('/', at + 1)) {
    const std::string part = folder.substr(0, at);
    if (mkdir(part.c_str(), 0777) == 0) made.push_back(part);
    if (at == std::string::npos) return made;
  }
}

// Whether the name still is that of the open file: its holder removes it.
bool IsNameOf(const std::string& path, int file) {
  struct stat named {};
  struct stat opened {};
  return stat(path.c_str(), &named) == 0 && fstat(file, &opened) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

}  // namespace

OutputLock::OutputLock(OutputLock&& other) noexcept
    : file_(std::exchange(other.file_, -1)),
      is_shard_(other.is_shard_),
      path_(std::move(other.path_)),
      folders_(std::move(other.folders_)) {
  other.folders_.clear();
}

OutputLock::~OutputLock() {
  if (file_ >= 0) {
    // The last one removes it: while other shards hold it, its name must stay theirs.
    if (!is_shard_ || flock(file_, LOCK_EX | LOCK_NB) == 0) unlink(path_.c_str());
    close(file_);
  }
  // Those that hold something stay.
  for (size_t i = folders_.size(); i-- > 0;) rmdir(folders_[i].c_str());
}

bool OutputLock::IsHeld(const Store& destination, std::string_view state_name) {
  if (destination.root().scheme() != "file" || !destination.KeepsObjects()) return false;
  const std::string path = destination.root().path() + "/" + LockName(state_name);
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) return false;
  const bool is_held = flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(file);
  return is_held;
}

Result<OutputLock> OutputLock::Take(const Store& destination, std::string_view state_name,
                                    bool is_shard) {
  OutputLock lock;
  lock.is_shard_ = is_shard;
  if (destination.root().scheme() != "file" || !destination.KeepsObjects()) return lock;
  lock.path_ = destination.root().path() + "/" + LockName(state_name);
  // More than one try, as the holder before us may have just tidied up. A folder that can never be
  // made (/proc) is an output that what comes after refuses.
  constexpr int tries = 100;
  for (int i = 0; i < tries; ++i) {
    std::vector<std::string> made = MakeFolders(lock.path_.substr(0, lock.path_.rfind('/')));
    lock.folders_.insert(lock.folders_.end(), made.begin(), made.end());
    const int file = open(lock.path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (file < 0) {
      if (errno == ENOENT) continue;
      return lock;
    }
    if (flock(file, (is_shard ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
      const bool is_held = errno == EWOULDBLOCK;
      close(file);
      if (!is_held) return lock;
      return Fail(Error{Code::kTemporary,
                        "another run is at work on this output",
                        {},
                        {{"folder", Printable(destination.root().Print())}},
                        "let it end, or stop it; then run again"});
    }
    if (IsNameOf(lock.path_, file)) {
      lock.file_ = file;
      return lock;
    }
    close(file);
  }
  return lock;
}

}  // namespace ckpt
