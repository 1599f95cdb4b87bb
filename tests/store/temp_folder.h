#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>

namespace ckpt {

/// A new folder, gone with all in it at the end.
class TempFolder {
 public:
  explicit TempFolder(const std::string& parent = Quick()) : path_(parent + "/ckpt-test-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no folder in " + parent);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }

  /// Rather not a memory file system, which /tmp often is and /var/tmp is not.
  static std::string OnDisk() {
    return access("/var/tmp", W_OK) == 0 ? "/var/tmp" : testing::TempDir();
  }
  static std::string InMemory() {
    return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : testing::TempDir();
  }
  /// In memory where there is room, as in a container there may not be: nothing waits for a disk.
  static std::string Quick() {
    std::error_code ignored;
    const auto space = std::filesystem::space(InMemory(), ignored);
    return !ignored && space.available >= kRoomBytes ? InMemory() : OnDisk();
  }

 private:
  static constexpr uintmax_t kRoomBytes = 1ULL << 30;

  std::string path_;
};

}  // namespace ckpt
