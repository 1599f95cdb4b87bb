#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/store.h"

namespace ckpt {

/// Keeps a second run out of an output while one is at work in it; shards of one run let each other
/// in. Local and mounted folders only (an advisory lock, gone with its process, whatever ends
/// that); elsewhere it holds nothing.
class OutputLock {
 public:
  OutputLock() = default;
  OutputLock(OutputLock&& other) noexcept;
  OutputLock& operator=(OutputLock&& other) = delete;
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;
  /// Removes what Take() made.
  ~OutputLock();

  /// Makes the lock's file in the state folder of the run. Where the folder cannot be written there
  /// is no lock: what comes after says why. `is_shard`: of a run in parts, which excludes only
  /// those that are not. Errors: kTemporary while another run holds it.
  static Result<OutputLock> Take(const Store& destination, std::string_view state_name,
                                 bool is_shard);

  /// Whether somebody holds it now. Makes and changes nothing.
  static bool IsHeld(const Store& destination, std::string_view state_name);

  /// Whether nobody else can be at work in the output.
  bool is_alone() const { return file_ >= 0 && !is_shard_; }

 private:
  int file_ = -1;
  bool is_shard_ = false;
  std::string path_;
  std::vector<std::string> folders_;  // made by Take(), outermost first
};

}  // namespace ckpt
