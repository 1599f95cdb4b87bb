#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "store/gs/auth/token_source.h"

namespace ckpt::gs {

// One for each "type" of a credential file. kNoCredential names the field that is missing.

/// service_account: a JWT, signed by the key in the file, for a token.
Result<std::unique_ptr<TokenSource>> MakeServiceAccount(const nlohmann::json& json,
                                                        std::string scope,
                                                        const TokenContext& context);
/// authorized_user: the refresh token that gcloud left.
Result<std::unique_ptr<TokenSource>> MakeAuthorizedUser(const nlohmann::json& json,
                                                        const TokenContext& context);
/// external_account: another identity provider's token, from a file, an address or a program
/// (if allowed), exchanged for one of Google's.
Result<std::unique_ptr<TokenSource>> MakeExternalAccount(const nlohmann::json& json,
                                                         std::string scope,
                                                         const TokenContext& context);
/// impersonated_service_account: other credentials that may speak for a service account.
Result<std::unique_ptr<TokenSource>> MakeImpersonated(const nlohmann::json& json, std::string scope,
                                                      const TokenContext& context);

/// Tokens of the service account in `url` (".../EMAIL:generateAccessToken"), asked for with those
/// of `source`, whose scope is kCloudPlatform.
std::unique_ptr<TokenSource> Impersonate(std::unique_ptr<TokenSource> source, http::Url url,
                                         const std::vector<std::string>& delegates,
                                         std::string scope, const TokenContext& context);
inline constexpr const char* kCloudPlatform = "https://www.googleapis.com/auth/cloud-platform";

/// A non-empty text, or kNoCredential.
Result<std::string> FieldOf(const nlohmann::json& json, const char* field);
/// A text, or the one given.
std::string FieldOr(const nlohmann::json& json, const char* field, std::string other);

}  // namespace ckpt::gs
