#include <nlohmann/json.hpp>
#include <utility>

#include "store/gs/auth/credential_kinds.h"
#include "store/gs/auth/token_answer.h"

namespace ckpt::gs {
namespace {

class AuthorizedUser final : public TokenSource {
 public:
  AuthorizedUser(TokenContext context, http::Url token_url, Secret form, std::string account)
      : context_(std::move(context)),
        token_url_(std::move(token_url)),
        form_(std::move(form)),
        account_(std::move(account)) {}

  Result<Token> Fetch() override {
    CKPT_TRY(const std::string body, PostForm(*context_.engine, token_url_, form_.Reveal()));
    return ParseTokenAnswer(body, context_.clock());
  }
  std::string principal() override { return account_; }

 private:
  const TokenContext context_;
  const http::Url token_url_;
  const Secret form_;
  const std::string account_;
};

}  // namespace

Result<std::unique_ptr<TokenSource>> MakeAuthorizedUser(const nlohmann::json& json,
                                                        const TokenContext& context) {
  CKPT_TRY(const std::string id, FieldOf(json, "client_id"));
  CKPT_TRY(const std::string secret, FieldOf(json, "client_secret"));
  CKPT_TRY(const std::string refresh, FieldOf(json, "refresh_token"));
  CKPT_TRY(http::Url token_url,
           ParseTokenUrl(context, "token_uri",
                         FieldOr(json, "token_uri", "https://oauth2.googleapis.com/token")));
  return std::make_unique<AuthorizedUser>(context, std::move(token_url),
                                          Secret(PrintForm({{"grant_type", "refresh_token"},
                                                            {"client_id", id},
                                                            {"client_secret", secret},
                                                            {"refresh_token", refresh}})),
                                          FieldOr(json, "account", ""));
}

}  // namespace ckpt::gs
