#include "store/gs/auth/metadata_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "store/gs/auth/token_answer.h"
#include "store/gs/backoff.h"

namespace ckpt::gs {
namespace {

constexpr std::string_view kAccount = "/computeMetadata/v1/instance/service-accounts/default/";

bool IsFromGoogle(const http::Response& response) {
  const std::string* flavor = http::FindHeader(response.headers, "Metadata-Flavor");
  return flavor != nullptr && *flavor == "Google";
}

// An engine of its own: the storage engine would try for minutes to find out that there is none.
Result<std::shared_ptr<http::Engine>> MetadataEngine(const TokenContext& context,
                                                     const http::Url& url,
                                                     std::chrono::milliseconds deadline) {
  http::EngineOptions options = context.engine->options();
  options.threads = 1;
  options.connections = 2;
  options.connect_timeout = std::chrono::seconds(1);
  options.stall = std::chrono::seconds(5);
  options.first_delay = std::min(options.first_delay, std::chrono::milliseconds(500));
  options.delay_cap = std::min(options.delay_cap, std::chrono::milliseconds(5'000));
  options.deadline = deadline;
  options.trusted_origins.push_back(url.Origin());
  return http::Engine::Make(std::move(options));
}

http::Request MetadataRequest(const http::Url& url) {
  http::Request request;
  request.url = url;
  request.headers.push_back({"Metadata-Flavor", "Google"});
  request.follows_redirects = false;
  request.body_limit_bytes = 1 << 20;
  return request;
}

// Also waits for a server that answers that it does not know the account yet.
Result<http::Response> AskPatiently(http::Engine& engine, const http::Url& url) {
  Backoff backoff(engine.options());
  while (true) {
    Result<http::Response> response = engine.Send(MetadataRequest(url));
    if (!response || response->status != 404 || !backoff.Wait()) return response;
  }
}

class MetadataServer final : public TokenSource {
 public:
  MetadataServer(std::shared_ptr<http::Engine> engine, http::Url base, std::string scope,
                 Clock clock)
      : engine_(std::move(engine)),
        base_(std::move(base)),
        scope_(std::move(scope)),
        clock_(std::move(clock)) {}

  Result<Token> Fetch() override {
    const http::Url url = base_.WithPath(std::string(kAccount) + "token")
                              .WithQuery("scopes=" + http::PercentEncode(scope_));
    CKPT_TRY(const http::Response response,
             AskPatiently(*engine_, url).map_error(Where("server", base_.Print())));
    if (response.status != 200 || !IsFromGoogle(response))
      return Result<Token>(Fail(Code::kNoCredential,
                                fmt::format("the metadata server gives no token: it answered {}{}",
                                            response.status,
                                            IsFromGoogle(response) ? "" : ", not as Google's does"),
                                "attach a service account to this machine, or bind the pod's to "
                                "one (Workload Identity)"))
          .map_error(Where("server", base_.Print()));
    return ParseTokenAnswer(response.body, clock_()).map_error(Where("server", base_.Print()));
  }

  std::string principal() override {
    const Result<http::Response> response =
        engine_->Send(MetadataRequest(base_.WithPath(std::string(kAccount) + "email")));
    if (!response || response->status != 200 || !IsFromGoogle(*response)) return "";
    return Printable(Trimmed(response->body));
  }

 private:
  const std::shared_ptr<http::Engine> engine_;
  const http::Url base_;
  const std::string scope_;
  const Clock clock_;
};

}  // namespace

Result<std::unique_ptr<TokenSource>> FindMetadataServer(const TokenContext& context,
                                                        std::string scope,
                                                        std::chrono::milliseconds probe,
                                                        std::chrono::milliseconds patience) {
  const std::string named = context.environment("GCE_METADATA_HOST").value_or("");
  const bool is_expected =
      !named.empty() || !context.environment("KUBERNETES_SERVICE_HOST").value_or("").empty();
  CKPT_TRY(const http::Url base,
           http::Url::Parse("http://" + (named.empty() ? "metadata.google.internal" : named))
               .map_error(Where("variable", "GCE_METADATA_HOST")));
  CKPT_TRY(const std::shared_ptr<http::Engine> asking,
           MetadataEngine(context, base, is_expected ? patience : probe));
  const Result<http::Response> response = asking->Send(MetadataRequest(base));
  if (!response && response.error().code == Code::kInterrupted) return Fail(response.error());
  if (!response || !IsFromGoogle(*response)) return std::unique_ptr<TokenSource>();
  CKPT_TRY(std::shared_ptr<http::Engine> engine, MetadataEngine(context, base, patience));
  return std::make_unique<MetadataServer>(std::move(engine), base, std::move(scope), context.clock);
}

}  // namespace ckpt::gs
