#include "store/archive/scratch_folder.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/text.h"
#include "base/units.h"
#include "store/file/file_error.h"
#include "store/file/file_store.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFiles = "files";
constexpr std::string_view kFilled = "filled";
constexpr uint64_t kMostFilledBytes = 64 * kKiB;
// Shorter than what any run does with a filled folder: it is gone when its last user has left.
constexpr std::chrono::milliseconds kLookAgain(5);

Error OfScratch(Error error) {
  if (error.code == Code::kCannotCreate) error.remedy = "name another --scratch DIR";
  return error;
}

}  // namespace

std::optional<uint64_t> FreeBytes(const std::string& folder) {
  std::error_code error;
  fs::path at = fs::absolute(folder, error);
  if (error) return std::nullopt;
  struct statvfs space {};
  while (statvfs(at.c_str(), &space) != 0) {
    if (errno != ENOENT || at == at.parent_path()) return std::nullopt;
    at = at.parent_path();
  }
  return uint64_t{space.f_bavail} * space.f_frsize;
}

ScratchFolder::ScratchFolder(const std::string& scratch, std::string_view name,
                             std::string identity)
    : tree_(scratch),
      scratch_(scratch),
      name_(name),
      path_(Below(scratch, name)),
      identity_(std::move(identity)) {}

Result<std::unique_ptr<ScratchFolder>> ScratchFolder::Take(
    const std::string& scratch, std::string_view name, std::string identity,
    const std::stop_token& stop, const std::function<void()>& tell_waiting) {
  CKPT_TRY_VOID(SafeName(name));
  std::unique_ptr<ScratchFolder> folder(new ScratchFolder(scratch, name, std::move(identity)));
  bool is_told = false;
  while (true) {
    if (stop.stop_requested())
      return Fail(Code::kInterrupted, "the wait for the scratch folder was interrupted");
    CKPT_TRY(const Attempt attempt, Result<Attempt>(folder->Try().map_error(OfScratch).map_error(
                                        Where("folder", Printable(folder->path_)))));
    if (attempt == Attempt::kTaken) return folder;
    if (attempt == Attempt::kGone) continue;
    if (!std::exchange(is_told, true)) tell_waiting();
    std::this_thread::sleep_for(kLookAgain);
  }
}

Result<ScratchFolder::Attempt> ScratchFolder::Try() {
  CKPT_TRY(folder_, tree_.Make(name_));
  if (flock(folder_.get(), LOCK_EX | LOCK_NB) == 0) {
    if (!IsNamed()) return Attempt::kGone;  // its last user removed it between the two calls
    CKPT_TRY_VOID(Open());
    if (!HoldsAll()) {
      CKPT_TRY_VOID(Empty());
      return Attempt::kTaken;
    }
    // Another process may come in between, find it filled, and leave: then it is gone.
    if (flock(folder_.get(), LOCK_SH) != 0)
      return FailFile(FileSide::kOutput, errno, "lock the folder");
    is_filled_ = IsNamed() && HoldsAll();
    return is_filled_ ? Attempt::kTaken : Attempt::kGone;
  }
  if (errno != EWOULDBLOCK && errno != EINTR)
    return FailFile(FileSide::kOutput, errno, "lock the folder");
  if (flock(folder_.get(), LOCK_SH | LOCK_NB) != 0) return Attempt::kBusy;
  if (!IsNamed()) return Attempt::kGone;
  CKPT_TRY_VOID(Open());
  is_filled_ = HoldsAll();
  // Filled with something else, or just about to be emptied.
  return is_filled_ ? Attempt::kTaken : Attempt::kBusy;
}

Result<void> ScratchFolder::Open() {
  CKPT_TRY(const Uri root, Uri::Parse(Below(path_, kFiles)));
  CKPT_TRY(files_, OpenFileStore(root));
  return {};
}

Result<void> ScratchFolder::Empty() {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_, error)) {
    fs::remove_all(entry.path(), error);
    if (error) break;
  }
  if (error) return FailFile(FileSide::kOutput, error.value(), "empty the folder");
  return {};
}

bool ScratchFolder::IsNamed() {
  const Result<Descriptor> named = tree_.Open(name_);
  struct stat ours {};
  struct stat theirs {};
  return named && named->is_open() && fstat(folder_.get(), &ours) == 0 &&
         fstat(named->get(), &theirs) == 0 && IsSameFile(ours, theirs);
}

Result<std::string> ScratchFolder::Description() {
  CKPT_TRY(const std::vector<ObjectInfo> files, files_->List(""));
  uint64_t bytes = 0;
  for (const ObjectInfo& file : files) bytes += file.size_bytes;
  return fmt::format("{}\n{} files, {} bytes\n", identity_, files.size(), bytes);
}

bool ScratchFolder::HoldsAll() {
  const Result<Uri> root = Uri::Parse(path_);
  if (!root) return false;
  const Result<std::unique_ptr<Store>> folder = OpenFileStore(*root, {.io_threads = 1});
  if (!folder) return false;
  const Result<std::string> text = (*folder)->ReadWhole(kFilled, kMostFilledBytes);
  if (!text || !text->starts_with(identity_ + "\n")) return false;
  const Result<std::string> expected = Description();
  return expected && *text == *expected;
}

Result<void> ScratchFolder::SetFilled() {
  const auto here = Where("folder", Printable(path_));
  CKPT_TRY(const Uri root, Uri::Parse(path_));
  CKPT_TRY(const std::unique_ptr<Store> folder, OpenFileStore(root, {.io_threads = 1}));
  CKPT_TRY(const std::string text, Description());
  CKPT_TRY_VOID(WriteSmallObject(*folder, kFilled, text, {.is_create_only = false})
                    .map_error(OfScratch)
                    .map_error(here));
  if (flock(folder_.get(), LOCK_SH) != 0)
    return Result<void>(FailFile(FileSide::kOutput, errno, "share the folder")).map_error(here);
  // Whoever came in between found it filled; and if that one has left already, it is gone.
  if (!IsNamed() || !HoldsAll())
    return Result<void>(Fail(Code::kCannotCreate, "another process removed what was unpacked",
                             "run again, or name another --scratch DIR"))
        .map_error(here);
  is_filled_ = true;
  return {};
}

ScratchFolder::~ScratchFolder() {
  if (!folder_.is_open()) return;
  files_.reset();
  // While others read it, its name must stay theirs. A folder that another process has made under
  // the name since then is not ours.
  if (flock(folder_.get(), LOCK_EX | LOCK_NB) == 0 && IsNamed()) Remove();
}

// What cannot be removed stays: the run's own result is what counts.
void ScratchFolder::Remove() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  for (std::string above = SplitName(name_).folder; !above.empty();
       above = SplitName(above).folder) {
    if (rmdir(Below(scratch_, above).c_str()) != 0) return;
  }
}

}  // namespace ckpt
