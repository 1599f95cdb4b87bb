#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/hf/explain.h"
#include "store/hf/options.h"
#include "store/hf/place.h"
#include "store/http/http.h"

namespace ckpt {

/// One file of a commit, as the Hub's tree has it.
struct HfFile {
  std::string path;
  uint64_t size_bytes = 0;
  std::string
      git_oid;  ///< sha1 of the git object; where `sha256` is set, of the pointer to the file
  std::string sha256;  ///< of the file where it lies in the storage (LFS, Xet); else ""
  /// The name of the file's bytes in the official client's cache.
  const std::string& digest() const { return sha256.empty() ? git_oid : sha256; }
};

/// The Hub's requests for one repository, with the token, and its answers in our words.
/// Thread-safe. Origin: huggingface/huggingface_hub, src/huggingface_hub/hf_api.py.
class HfApi {
 public:
  HfApi(HfOptions options, HfPlace place);

  /// The commit that the revision is now. Errors: ExplainHf, with the revisions there are.
  Result<std::string> ResolveRevision();
  /// All files of the commit, in the Hub's order. kBadInput for names that are not safe and for
  /// more pages than a repository can have.
  Result<std::vector<HfFile>> Tree(const std::string& commit, const std::stop_token& stop);

  /// A request of the Hub with the token; `path` is encoded and begins with '/'.
  http::Request Ask(const std::string& path) const;
  /// The path of a file's bytes.
  static std::string ResolvePath(const HfPlace& place, const std::string& commit,
                                 std::string_view file);
  /// To be completed with the file.
  HfQuestion Question() const;
  const HfOptions& options() const { return options_; }
  const HfPlace& place() const { return place_; }

 private:
  std::vector<std::string> KnownRevisions();

  const HfOptions options_;
  const HfPlace place_;
  const std::shared_ptr<http::Authorizer> authorizer_;
};

/// The files of one page. kBadInput for what is no listing. Pure.
Result<std::vector<HfFile>> ParseTree(std::string_view json);

}  // namespace ckpt
