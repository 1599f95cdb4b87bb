#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/environment.h"
#include "base/result.h"
#include "base/secret.h"
#include "store/http/http.h"

namespace ckpt {

/// A secret and where it was found ("HF_TOKEN", "the file /huggingface/HUGGINGFACE_TOKEN"), for
/// messages. Empty: none was found.
struct Credential {
  Secret secret;
  std::string source;
  bool empty() const { return secret.empty(); }
};

/// The text of a secret's file without blanks at its ends; nothing if there is no such file.
/// kNoCredential for a file that is there and cannot be read.
Result<std::optional<Secret>> ReadSecretFile(const std::string& path);
/// The same, with the file as its source; empty if there is none, or nothing in it.
Result<Credential> CredentialFromFile(const std::string& path);
/// The variable's value without blanks at its ends.
Credential CredentialFromVariable(const Environment& environment, const char* name);

/// The variable's value; "" where it is not set.
std::string VariableOr(const Environment& environment, const char* name,
                       const std::string& otherwise = "");

/// Credentials that cannot be refreshed: one Authorization header, with this value.
/// `authorization` is all of it, such as "Bearer ...". Null where it is empty.
std::shared_ptr<http::Authorizer> FixedAuthorizer(Secret authorization);

}  // namespace ckpt
