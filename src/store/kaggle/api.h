#pragma once

#include <atomic>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/http/http.h"
#include "store/kaggle/explain.h"
#include "store/kaggle/handle.h"
#include "store/kaggle/options.h"

namespace ckpt {

struct KaggleFile {
  std::string name;  ///< "7b-it/manifest.ocdbt"
  uint64_t size_bytes = 0;
  std::string created;  ///< as the service prints it
};

struct KaggleListing {
  std::vector<KaggleFile> files;
  bool is_archive = false;  ///< the service lists none, but gives the version as one archive
};

/// The service's requests for one model version, in both of its generations: the remote procedures
/// of the present clients first; where one is not there (404), the older path says the same, and is
/// asked first from then on. Thread-safe. Origin: Kaggle/kagglehub, src/kagglehub/clients.py;
/// Kaggle/kaggle-api, kaggle/api/kaggle_api_extended.py.
class KaggleApi {
 public:
  KaggleApi(KaggleOptions options, KaggleHandle handle);

  /// Makes version 0 the newest one. Errors: ExplainKaggle.
  Result<void> ResolveVersion();
  /// All files, in the service's order. kBadInput for unsafe names.
  Result<KaggleListing> Files(const std::stop_token& stop);
  /// What the service says that the version takes on a disk; nothing where it does not (it tells
  /// that of the newest version only).
  std::optional<uint64_t> UnpackedBytes() const;
  /// The signed address of a file, or of the whole version's archive (""), which gets no
  /// credential.
  Result<http::Url> Sign(const std::string& file) const;

  KaggleQuestion Question(std::string file = "") const;
  const KaggleHandle& handle() const { return handle_; }
  const KaggleOptions& options() const { return options_; }

 private:
  // One thing to ask, in both generations.
  struct Call {
    std::string procedure;  // "GetModelInstance"
    std::string body;       // JSON
    std::string path;       // below /models/OWNER/MODEL/FRAMEWORK/VARIATION, encoded
    std::string query;
  };

  // What the service says of the variation, as far as it does.
  struct Newest {
    std::optional<unsigned> version;
    std::optional<uint64_t> unpacked_bytes;
  };

  Newest AskNewest() const;
  Result<http::Response> Ask(const Call& call) const;
  Result<http::Response> AskProcedure(const Call& call) const;
  Result<http::Response> AskPath(const Call& call) const;
  Call Listing(const std::string& page) const;
  Result<KaggleListing> NotFiles(int status, std::string_view body);

  const KaggleOptions options_;
  KaggleHandle handle_;  // the version is set once, before others see it
  const std::shared_ptr<http::Authorizer> authorizer_;
  mutable std::atomic<bool> has_procedures_ = true;
};

/// One page of a listing and the token of the next one ("": the last). kBadInput. Pure.
struct KagglePage {
  std::vector<KaggleFile> files;
  std::string next;
};
Result<KagglePage> ParseKagglePage(std::string_view json);

}  // namespace ckpt
