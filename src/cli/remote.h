#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/environment.h"
#include "base/memory_budget.h"
#include "base/secret.h"
#include "plan/plan_base.h"
#include "run/report.h"
#include "source/open.h"
#include "store/http/http.h"
#include "store/store.h"

namespace ckpt {

class GoogleCredentials;

/// Credentials that were found already. Where one is empty, the store looks for it in its own
/// order.
struct Credentials {
  std::string kaggle_user;  ///< "" where `kaggle_key` is a token
  Secret kaggle_key;
  Secret hub_token;
  Secret meta_link;
};

/// How remote places are reached, as the command line says it.
struct RemoteSettings {
  Credentials credentials;
  std::string meta_url_file;  ///< holds Meta's signed link; "": the variable META_URL
  std::string ca_bundle;      ///< "": the system's
  unsigned connections = 16;  ///< side by side
  std::string user_project;   ///< who pays for requests to a bucket of requester pays
  std::string google_token_file;
  bool is_anonymous = false;      ///< public buckets, without credentials
  std::string scratch;            ///< folder for sources that come as one archive only; "": none
  std::string max_archive_bytes;  ///< as given: what such an archive may hold
  /// Is told what takes long before a run has anything to show; empty: standard error is.
  std::function<void(std::string_view)> tell;
};

/// Reaches stores that are no folders: one HTTP engine and one set of credentials for the whole
/// run, made when the first such place is named. Thread-safe.
class Remote {
 public:
  Remote(RemoteSettings settings, Environment environment);
  ~Remote();

  /// gs, hf, kaggle, meta, https. A bare org/name is a hub repository where no such file lies here.
  static bool IsRemote(const Uri& uri);

  /// The store and object that a source names. Errors: those of the stores. A source that comes as
  /// one archive only is unpacked under `budget`, before this returns; null: it is refused.
  Result<SourcePlace> FindSource(const std::string& argument, MemoryBudget* budget);
  /// Whether a bare org/name may be a repository of the hub.
  static bool MayBeRepository(const std::string& argument);
  /// A place to write to. Upload buffers come from `budget`, which outlives the store; null for
  /// one that is only looked at.
  Result<std::shared_ptr<Store>> OpenDestination(const Uri& uri, MemoryBudget* budget,
                                                 const UploadBuffers& uploads);

  /// Whether a source lies on the scratch disk.
  bool is_using_scratch() const;

  /// Ends every transfer with kInterrupted.
  void Stop() { stop_.request_stop(); }
  /// Of all transfers so far; nothing where nothing remote was named.
  std::optional<NetworkFigures> figures() const;
  /// What to tell the user beside the result; handed out once.
  std::vector<std::string> TakeWarnings();

 private:
  Result<std::shared_ptr<http::Engine>> Engine();
  Result<std::shared_ptr<GoogleCredentials>> Google(const std::shared_ptr<http::Engine>& engine);
  Result<SourcePlace> FindInBucket(const Uri& uri);
  Result<SourcePlace> FindOnHub(const std::string& argument);
  Result<SourcePlace> FindOnKaggle(const std::string& argument, MemoryBudget* budget);
  Result<SourcePlace> FindBehindLink(const std::string& model);
  Result<SourcePlace> FindOnWeb(const std::string& argument);
  void Warn(std::string_view warning);
  void Tell(std::string_view words);
  Result<std::unique_ptr<Store>> OpenBucket(const Uri& root, MemoryBudget* budget,
                                            const UploadBuffers& uploads);

  const RemoteSettings settings_;
  const Environment environment_;
  std::stop_source stop_;
  mutable std::mutex mutex_;
  std::shared_ptr<http::Engine> engine_;
  std::vector<std::string> warnings_;
  bool is_using_scratch_ = false;
  std::jthread stop_watch_;       // from the engine's making on: a stop signal ends its transfers
  std::mutex credentials_mutex_;  // held while credentials are looked for
  std::shared_ptr<GoogleCredentials> credentials_;
};

}  // namespace ckpt
