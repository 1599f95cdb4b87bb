#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/environment.h"
#include "base/result.h"
#include "store/gs/gs_options.h"
#include "store/http/http.h"

namespace ckpt {

/// Google credentials of one caller. Thread-safe. Tokens are fetched at the first need and
/// refreshed beside the work when they have little life left. Must end on a thread that may wait.
class GoogleCredentials : public http::Authorizer {
 public:
  /// The account's e-mail address, or "" where it cannot be known. May wait.
  virtual std::string principal() = 0;
  /// The project that the credentials say is to be charged, or "".
  virtual std::string quota_project() const = 0;
};

struct GoogleCredentialOptions {
  /// A file that holds an access token and is read again when it is renewed; "": none.
  std::string token_file;
  /// Of the tokens.
  std::string scope = "https://www.googleapis.com/auth/devstorage.read_write";
  /// Takes what is no error, such as a refresh that failed while the token is still good.
  std::function<void(std::string_view)> warn;
  std::function<std::chrono::system_clock::time_point()> clock = std::chrono::system_clock::now;
  /// How long a metadata server is waited for: where nothing says that there is one, and where
  /// something does (in a pod that just started it answers late).
  std::chrono::milliseconds metadata_probe{3'000};
  std::chrono::milliseconds metadata_patience{60'000};
};

/// Application Default Credentials, in this order: the token file; GOOGLE_OAUTH_ACCESS_TOKEN; the
/// file in GOOGLE_APPLICATION_CREDENTIALS (which must be readable); application_default_credentials
/// .json below CLOUDSDK_CONFIG or ~/.config/gcloud; the metadata server. Reads files, and asks the
/// metadata server whether it is there. Errors: kNoCredential, with all places that were looked at.
Result<std::shared_ptr<GoogleCredentials>> FindGoogleCredentials(
    const Environment& environment, std::shared_ptr<http::Engine> engine,
    GoogleCredentialOptions options = {});

/// Sets authorizer and principal, and the user project where none is set.
void UseCredentials(GsOptions& options, std::shared_ptr<GoogleCredentials> credentials);

}  // namespace ckpt
