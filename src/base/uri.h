#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ckpt {

/// A place: scheme and what follows. "file" is the scheme of plain paths; "null" is the sink for
/// benches.
///   gs://bucket/a/b   scheme gs, authority "bucket", path "a/b"
///   /models/gemma     scheme file, authority "", path "/models/gemma"
/// Printing never shows user information, query or fragment (signed URLs carry secrets there).
class Uri {
 public:
  Uri() = default;
  /// kUsage for an empty text, an unknown form of "scheme://", or NUL bytes. Does not touch any
  /// store.
  static Result<Uri> Parse(std::string_view text);

  const std::string& scheme() const { return scheme_; }
  const std::string& authority() const { return authority_; }  ///< without user information
  const std::string& path() const { return path_; }            ///< without query
  /// What to show: no user information, no query ("?[redacted]" stands for one).
  std::string Print() const;
  /// The place of `name` below this one (for messages); joins with '/'.
  std::string PrintBelow(std::string_view name) const;
  bool operator==(const Uri&) const = default;

 private:
  std::string scheme_ = "file";
  std::string authority_;
  std::string path_;
  std::string query_;  // kept for stores of signed URLs, never printed
};

}  // namespace ckpt
