#include <nlohmann/json.hpp>
#include <utility>

#include "store/gs/auth/credential_kinds.h"
#include "store/gs/auth/subject_token.h"
#include "store/gs/auth/token_answer.h"

namespace ckpt::gs {
namespace {

/// The token exchange of RFC 8693.
class ExternalAccount final : public TokenSource {
 public:
  ExternalAccount(TokenContext context, std::unique_ptr<SubjectTokenSource> subject,
                  http::Url token_url, std::string audience, std::string subject_type,
                  std::string scope)
      : context_(std::move(context)),
        subject_(std::move(subject)),
        token_url_(std::move(token_url)),
        audience_(std::move(audience)),
        subject_type_(std::move(subject_type)),
        scope_(std::move(scope)) {}

  Result<Token> Fetch() override {
    CKPT_TRY(const Secret subject, subject_->Get());
    CKPT_TRY(
        const std::string body,
        PostForm(
            *context_.engine, token_url_,
            PrintForm({{"grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"},
                       {"audience", audience_},
                       {"scope", scope_},
                       {"requested_token_type", "urn:ietf:params:oauth:token-type:access_token"},
                       {"subject_token", subject.Reveal()},
                       {"subject_token_type", subject_type_}}))
            .map_error([&](Error error) {
              if (error.code == Code::kDenied)
                error.remedy =
                    "check the workload identity pool's provider, and that its own token is "
                    "fresh and meant for this audience";
              return Where("audience", audience_)(std::move(error));
            }));
    return ParseTokenAnswer(body, context_.clock()).map_error(Where("audience", audience_));
  }

 private:
  const TokenContext context_;
  const std::unique_ptr<SubjectTokenSource> subject_;
  const http::Url token_url_;
  const std::string audience_;
  const std::string subject_type_;
  const std::string scope_;
};

}  // namespace

Result<std::unique_ptr<TokenSource>> MakeExternalAccount(const nlohmann::json& json,
                                                         std::string scope,
                                                         const TokenContext& context) {
  CKPT_TRY(std::string audience, FieldOf(json, "audience"));
  CKPT_TRY(std::string subject_type, FieldOf(json, "subject_token_type"));
  CKPT_TRY(http::Url token_url,
           ParseGoogleUrl(context, "token_url",
                          FieldOr(json, "token_url", "https://sts.googleapis.com/v1/token")));
  CKPT_TRY(auto subject, MakeSubjectTokenSource(json, context));
  const std::string impersonated = FieldOr(json, "service_account_impersonation_url", "");
  auto account = std::make_unique<ExternalAccount>(
      context, std::move(subject), std::move(token_url), std::move(audience),
      std::move(subject_type), impersonated.empty() ? scope : kCloudPlatform);
  if (impersonated.empty()) return account;
  CKPT_TRY(http::Url url,
           ParseGoogleUrl(context, "service_account_impersonation_url", impersonated));
  return Impersonate(std::move(account), std::move(url), {}, std::move(scope), context);
}

}  // namespace ckpt::gs
