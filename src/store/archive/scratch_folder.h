#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/file/descriptor.h"
#include "store/file/folder_tree.h"
#include "store/store.h"

namespace ckpt {

/// Free bytes, for this user, of the file system that holds the folder, or the nearest one above it
/// that exists; nothing where the system does not tell.
std::optional<uint64_t> FreeBytes(const std::string& folder);

/// A folder below the scratch disk that one process fills and then several may read; the last one
/// to leave removes it, whatever its run came to. Only SIGKILL leaves it behind: a filled one is
/// then taken as it is by the next run that wants the same, another one is emptied and filled
/// again.
///
/// What it is filled with has an identity (one line of text), which is written into the folder
/// last, with the count and bytes of its files. Processes settle by flock(2) on the folder itself,
/// which the kernel gives back when one dies: exclusive while it is filled, shared while it is
/// read.
class ScratchFolder {
 public:
  /// The folder `name` (a safe name) below `scratch`, which is made where it is not there. Waits
  /// while another process fills it; `tell_waiting` is called once before that. Errors:
  /// kCannotCreate, kInterrupted.
  static Result<std::unique_ptr<ScratchFolder>> Take(const std::string& scratch,
                                                     std::string_view name, std::string identity,
                                                     const std::stop_token& stop,
                                                     const std::function<void()>& tell_waiting);
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();

  /// If not, it is empty, and nobody else's until SetFilled().
  bool is_filled() const { return is_filled_; }
  /// Its files. Lives as long as the folder.
  Store& files() { return *files_; }
  /// Declares it filled.
  Result<void> SetFilled();

 private:
  enum class Attempt { kTaken, kGone, kBusy };

  ScratchFolder(const std::string& scratch, std::string_view name, std::string identity);
  Result<Attempt> Try();
  Result<void> Open();
  Result<void> Empty();
  bool IsNamed();
  bool HoldsAll();
  Result<std::string> Description();
  void Remove();

  FolderTree tree_;
  const std::string scratch_;
  const std::string name_;
  const std::string path_;
  const std::string identity_;
  Descriptor folder_;  // with the lock
  std::unique_ptr<Store> files_;
  bool is_filled_ = false;
};

}  // namespace ckpt
