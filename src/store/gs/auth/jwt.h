#pragma once

#include <chrono>
#include <string>

#include "base/result.h"
#include "base/secret.h"

namespace ckpt::gs {

/// The claims of a service account that asks for a token.
struct JwtClaims {
  std::string key_id;
  std::string issuer;  ///< client_email
  std::string scope;
  std::string audience;                          ///< token_uri
  std::chrono::system_clock::time_point issued;  ///< holds for an hour
};

/// BASE64URL(header) "." BASE64URL(claims): what is signed (RFC 7515).
std::string PrintJwt(const JwtClaims& claims);

/// The same with "." and its signature, RSASSA-PKCS1-v1_5 with SHA-256. `private_key` is PEM.
/// kNoCredential where it is no key.
Result<Secret> SignJwt(const JwtClaims& claims, const Secret& private_key);

}  // namespace ckpt::gs
