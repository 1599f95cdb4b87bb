#include <unistd.h>

#include <utility>

#include "base/text.h"
#include "store/gs/auth/credential_json.h"
#include "store/gs/auth/google_credentials.h"
#include "store/gs/auth/metadata_server.h"
#include "store/gs/auth/token_cache.h"

namespace ckpt {
namespace {

// A token that was made elsewhere: in a file that somebody renews, or fixed in a variable.
class GivenToken final : public gs::TokenSource {
 public:
  GivenToken(std::string path, Secret fixed, gs::Clock clock)
      : path_(std::move(path)), fixed_(std::move(fixed)), clock_(std::move(clock)) {}

  Result<gs::Token> Fetch() override {
    // Its life is not told: a file is read again after some minutes.
    if (path_.empty()) return gs::Token{fixed_, clock_() + std::chrono::hours(24 * 365)};
    CKPT_TRY(const Secret text, gs::ReadSecretFile(path_));
    const std::string_view token = Trimmed(text.Reveal());
    if (token.empty() || token.find_first_of(" \n\r\t") != std::string_view::npos)
      return Result<gs::Token>(Fail(Code::kNoCredential, "holds no access token",
                                    "write one there: gcloud auth print-access-token > FILE"))
          .map_error(Where("file", Printable(path_)));
    return gs::Token{Secret(std::string(token)), clock_() + std::chrono::minutes(10)};
  }
  bool can_renew() const override { return !path_.empty(); }

 private:
  const std::string path_;
  const Secret fixed_;
  const gs::Clock clock_;
};

std::string GcloudFile(const Environment& environment) {
  constexpr std::string_view name = "application_default_credentials.json";
  if (const auto folder = environment("CLOUDSDK_CONFIG"); folder && !folder->empty())
    return Below(*folder, name);
  if (const auto home = environment("HOME"); home && !home->empty())
    return Below(Below(*home, ".config/gcloud"), name);
  return "";
}

std::shared_ptr<GoogleCredentials> Share(std::unique_ptr<gs::TokenSource> source,
                                         std::string quota_project,
                                         GoogleCredentialOptions options) {
  return std::make_shared<gs::TokenCache>(std::move(source), std::move(quota_project),
                                          std::move(options));
}

Result<std::shared_ptr<GoogleCredentials>> FromFile(const std::string& path,
                                                    const gs::TokenContext& context,
                                                    GoogleCredentialOptions options) {
  CKPT_TRY(const Secret text, gs::ReadSecretFile(path));
  CKPT_TRY(
      gs::JsonCredentials made,
      gs::ParseCredentials(text, options.scope, context).map_error(Where("file", Printable(path))));
  return Share(std::move(made.source), std::move(made.quota_project), std::move(options));
}

}  // namespace

Result<std::shared_ptr<GoogleCredentials>> FindGoogleCredentials(
    const Environment& environment, std::shared_ptr<http::Engine> engine,
    GoogleCredentialOptions options) {
  const gs::TokenContext context{std::move(engine), environment, options.clock};
  if (!options.token_file.empty()) {
    auto source = std::make_unique<GivenToken>(options.token_file, Secret(), options.clock);
    CKPT_TRY_VOID(source->Fetch());  // a missing file is told now
    return Share(std::move(source), "", std::move(options));
  }
  if (auto token = environment("GOOGLE_OAUTH_ACCESS_TOKEN"); token && !Trimmed(*token).empty())
    return Share(
        std::make_unique<GivenToken>("", Secret(std::string(Trimmed(*token))), context.clock), "",
        std::move(options));
  if (const auto path = environment("GOOGLE_APPLICATION_CREDENTIALS"); path && !path->empty())
    return FromFile(*path, context, std::move(options))
        .map_error(Where("variable", "GOOGLE_APPLICATION_CREDENTIALS"));
  const std::string gcloud = GcloudFile(environment);
  if (!gcloud.empty() && access(gcloud.c_str(), F_OK) == 0)
    return FromFile(gcloud, context, std::move(options));
  CKPT_TRY(std::unique_ptr<gs::TokenSource> server,
           gs::FindMetadataServer(context, options.scope, options.metadata_probe,
                                  options.metadata_patience));
  if (server) return Share(std::move(server), "", std::move(options));
  return Fail(
      Error{Code::kNoCredential,
            "no Google credentials were found",
            {"GOOGLE_OAUTH_ACCESS_TOKEN and GOOGLE_APPLICATION_CREDENTIALS are not set",
             gcloud.empty() ? "neither CLOUDSDK_CONFIG nor HOME is set"
                            : Printable(gcloud) + " is not there",
             "no metadata server answers"},
            {},
            "run gcloud auth application-default login, set GOOGLE_APPLICATION_CREDENTIALS, "
            "or read a public bucket with --gcs-anonymous"});
}

}  // namespace ckpt
