#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "store/http/http.h"
#include "store/kaggle/handle.h"
#include "store/kaggle/options.h"

namespace ckpt {

/// The status of an answer: of HTTP, or of the error that old versions of the service send with
/// status 200, {"code":403,"message":"..."}.
int KaggleStatus(const http::Response& answer);

/// What was asked, for the words of a refusal.
struct KaggleQuestion {
  KaggleHandle handle;
  KaggleCredential credential;
  std::string file;     ///< "": the version itself
  unsigned newest = 0;  ///< version; 0: not known
};

/// The meaning of an answer that is no success. Pure. Codes: kDenied (401, 403), kNotFound (404),
/// kTemporary (429), kUnavailable (408, 5xx), else kIo.
Error ExplainKaggle(const KaggleQuestion& question, int status, std::string_view body);
/// The same for an answer of the storage behind the service, to a signed address.
Error ExplainKaggleStorage(const KaggleQuestion& question, int status);

}  // namespace ckpt
