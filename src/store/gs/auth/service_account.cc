#include <nlohmann/json.hpp>
#include <utility>

#include "store/gs/auth/credential_kinds.h"
#include "store/gs/auth/jwt.h"
#include "store/gs/auth/token_answer.h"

namespace ckpt::gs {
namespace {

class ServiceAccount final : public TokenSource {
 public:
  ServiceAccount(TokenContext context, http::Url token_url, JwtClaims claims, Secret private_key)
      : context_(std::move(context)),
        token_url_(std::move(token_url)),
        claims_(std::move(claims)),
        private_key_(std::move(private_key)) {}

  Result<Token> Fetch() override {
    JwtClaims claims = claims_;
    claims.issued = context_.clock();
    CKPT_TRY(const Secret assertion, SignJwt(claims, private_key_));
    CKPT_TRY(const std::string body,
             PostForm(*context_.engine, token_url_,
                      PrintForm({{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"},
                                 {"assertion", assertion.Reveal()}}))
                 .map_error(Where("account", claims_.issuer)));
    return ParseTokenAnswer(body, context_.clock()).map_error(Where("account", claims_.issuer));
  }
  std::string principal() override { return claims_.issuer; }

 private:
  const TokenContext context_;
  const http::Url token_url_;
  const JwtClaims claims_;
  const Secret private_key_;
};

}  // namespace

Result<std::unique_ptr<TokenSource>> MakeServiceAccount(const nlohmann::json& json,
                                                        std::string scope,
                                                        const TokenContext& context) {
  JwtClaims claims;
  claims.scope = std::move(scope);
  claims.key_id = FieldOr(json, "private_key_id", "");
  claims.audience = FieldOr(json, "token_uri", "https://oauth2.googleapis.com/token");
  CKPT_TRY(claims.issuer, FieldOf(json, "client_email"));
  CKPT_TRY(std::string private_key, FieldOf(json, "private_key"));
  CKPT_TRY(http::Url token_url, ParseTokenUrl(context, "token_uri", claims.audience));
  return std::make_unique<ServiceAccount>(context, std::move(token_url), std::move(claims),
                                          Secret(std::move(private_key)));
}

}  // namespace ckpt::gs
