#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "base/secret.h"
#include "store/gs/auth/token_source.h"

namespace ckpt::gs {

/// Where an external account's own token comes from: the "credential_source" of its file.
class SubjectTokenSource {
 public:
  virtual ~SubjectTokenSource() = default;
  virtual Result<Secret> Get() = 0;
};

/// A file, an address with headers, or (only where GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES is 1)
/// a program. kNoCredential for others; AWS is refused by its name.
Result<std::unique_ptr<SubjectTokenSource>> MakeSubjectTokenSource(const nlohmann::json& account,
                                                                   const TokenContext& context);

/// The token in the text of a file or an answer, by "format": all of it, or a field of its JSON.
Result<Secret> ExtractSubjectToken(const Secret& text, const std::string& json_field);

/// The token that a program prints: {"version":1,"success":true,"token_type","id_token" or
/// "saml_response","expiration_time"}.
Result<Secret> ParseExecutableAnswer(const Secret& text, std::chrono::system_clock::time_point now);

}  // namespace ckpt::gs
