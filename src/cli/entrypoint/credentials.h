#pragma once

#include <string>

#include "base/result.h"
#include "base/secret.h"
#include "cli/entrypoint/contract.h"

namespace ckpt::contract {

/// A user and the key that proves it.
struct KaggleLogin {
  std::string user;
  Secret key;
};

/// From the folder of KAGGLE_CONFIG_DIR (default /kaggle): kaggle.json, or files username and key;
/// else KAGGLE_USERNAME and KAGGLE_KEY; else a token in KAGGLE_API_TOKEN (without a user). Errors:
/// kNoCredential: none there, unreadable (with both remedies), or malformed.
Result<KaggleLogin> FindKaggleLogin(const Environment& environment);

/// From HUGGINGFACE_TOKEN in the folder of HUGGINGFACE_TOKEN_DIR (default /huggingface), else
/// HF_TOKEN; empty where there is none: public repositories need none. Errors: kNoCredential for a
/// file that is there and cannot be read.
Result<Secret> FindHuggingfaceToken(const Environment& environment);

/// Meta's signed URL: given, or the first line of the file. Errors: kNoCredential.
Result<Secret> FindMetaUrl(const Contract& contract);

}  // namespace ckpt::contract
