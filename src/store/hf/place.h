#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ckpt {

/// A folder (or a file) of a model repository at a revision. Invariant: repo is a good repository
/// id, folder is "" or a safe name.
///   hf://google/gemma-2-9b@33c1930/sub/folder     google/gemma-2-9b     gpt2@refs/pr/1
struct HfPlace {
  std::string repo;               ///< "org/name" or "name"
  std::string revision = "main";  ///< branch, tag, refs/pr/N or commit; not encoded
  std::string folder;

  /// With or without "hf://". A revision ends at the next '/', but for refs/pr/N and
  /// refs/convert/NAME; others with a '/' are written with %2F. One word is a repository without
  /// an owner; a folder of it needs a revision before it (gpt2@main/folder). kUsage.
  static Result<HfPlace> Parse(std::string_view text);
  /// "hf://org/name@revision/folder".
  std::string Print() const;
};

/// kUsage with what is wrong: each part has letters, digits, '.', '_', '-', at most 96 of them, no
/// ".." or "--", and no '.' or '-' at its ends.
Result<void> CheckRepoId(std::string_view repo);

/// 40 hexadecimal digits in lower case.
bool IsCommit(std::string_view text);

}  // namespace ckpt
