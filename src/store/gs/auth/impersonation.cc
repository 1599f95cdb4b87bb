#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/json_text.h"
#include "store/gs/auth/credential_json.h"
#include "store/gs/auth/credential_kinds.h"
#include "store/gs/auth/token_answer.h"
#include "store/gs/object_json.h"

namespace ckpt::gs {
namespace {

// The account in ".../serviceAccounts/EMAIL:generateAccessToken", or "".
std::string AccountOf(const http::Url& url) {
  const size_t slash = url.path().rfind('/');
  const std::string last = url.path().substr(slash + 1);
  const size_t colon = last.rfind(':');
  if (colon == std::string::npos) return "";
  return http::PercentDecode(last.substr(0, colon)).value_or("");
}

class Impersonation final : public TokenSource {
 public:
  Impersonation(std::unique_ptr<TokenSource> source, http::Url url, std::string body,
                TokenContext context)
      : source_(std::move(source)),
        url_(std::move(url)),
        body_(std::move(body)),
        context_(std::move(context)) {}

  Result<Token> Fetch() override {
    CKPT_TRY(const Token own, source_->Fetch());
    http::Request request;
    request.method = "POST";
    request.url = url_;
    request.headers.push_back({"Content-Type", "application/json"});
    request.headers.push_back({"Authorization", "Bearer " + own.value.Reveal()});
    request.body = std::as_bytes(std::span(body_));
    request.follows_redirects = false;
    CKPT_TRY(const http::Response response, context_.engine->Send(std::move(request)));
    if (response.status != 200) {
      Error error = ExplainOAuth(response.status, response.body);
      error.remedy = fmt::format(
          "grant {} the role roles/iam.serviceAccountTokenCreator on {}",
          source_->principal().empty() ? "the credentials' own account" : source_->principal(),
          principal());
      return Result<Token>(Fail(std::move(error))).map_error(Where("account", principal()));
    }
    const nlohmann::json json = ParseJson(response.body);
    std::string value = FieldOr(json, "accessToken", "");
    const int64_t expires_ns = ParseTime(FieldOr(json, "expireTime", ""));
    if (value.empty() || expires_ns == 0)
      return Fail(Code::kUnavailable, "the answer to an impersonation holds no access token",
                  "try again later");
    return Token{Secret(std::move(value)),
                 std::chrono::system_clock::time_point(
                     std::chrono::duration_cast<std::chrono::system_clock::duration>(
                         std::chrono::nanoseconds(expires_ns)))};
  }
  std::string principal() override { return AccountOf(url_); }

 private:
  const std::unique_ptr<TokenSource> source_;
  const http::Url url_;
  const std::string body_;
  const TokenContext context_;
};

}  // namespace

std::unique_ptr<TokenSource> Impersonate(std::unique_ptr<TokenSource> source, http::Url url,
                                         const std::vector<std::string>& delegates,
                                         std::string scope, const TokenContext& context) {
  nlohmann::ordered_json body = {{"scope", {std::move(scope)}}, {"lifetime", "3600s"}};
  if (!delegates.empty()) body["delegates"] = delegates;
  return std::make_unique<Impersonation>(std::move(source), std::move(url), PrintJsonLine(body),
                                         context);
}

Result<std::unique_ptr<TokenSource>> MakeImpersonated(const nlohmann::json& json, std::string scope,
                                                      const TokenContext& context) {
  CKPT_TRY(const std::string address, FieldOf(json, "service_account_impersonation_url"));
  CKPT_TRY(http::Url url, ParseGoogleUrl(context, "service_account_impersonation_url", address));
  const auto inner = json.find("source_credentials");
  if (inner == json.end() || !inner->is_object())
    return Fail(Code::kNoCredential, "\"source_credentials\" is missing",
                "make the credential file again");
  if (FieldOr(*inner, "type", "") == "impersonated_service_account")
    return Fail(Code::kNoCredential, "\"source_credentials\" are impersonated themselves",
                "name the accounts between as \"delegates\"");
  CKPT_TRY(JsonCredentials own, ParseCredentials(Secret(inner->dump()), kCloudPlatform, context));
  std::vector<std::string> delegates;
  if (const auto list = json.find("delegates"); list != json.end() && list->is_array()) {
    for (const auto& delegate : *list) {
      if (delegate.is_string()) delegates.push_back(delegate.get<std::string>());
    }
  }
  return Impersonate(std::move(own.source), std::move(url), delegates, std::move(scope), context);
}

}  // namespace ckpt::gs
