#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "store/gs/auth/token_source.h"

namespace ckpt::gs {

/// The whole of a small file of secrets. kNoCredential where it cannot be read.
Result<Secret> ReadSecretFile(const std::string& path);

/// The credentials in a JSON file, by its "type".
struct JsonCredentials {
  std::unique_ptr<TokenSource> source;
  std::string quota_project;
};
/// `json` is the file's text. kNoCredential for a damaged one, or a type that is not known.
Result<JsonCredentials> ParseCredentials(const Secret& json, std::string scope,
                                         const TokenContext& context);

}  // namespace ckpt::gs
