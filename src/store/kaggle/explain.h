#pragma once

#include <cstdint>
#include <optional>
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

/// A version that comes as one archive only, where no scratch disk was named: kCannotCreate, with
/// the bytes needed (where known) and what to add to a pod. Pure.
Error NeedsScratch(const KaggleQuestion& question, std::optional<uint64_t> needed_bytes);
/// Bytes that the scratch disk does not have: kCannotCreate. Pure.
Error NeedsSpace(const KaggleQuestion& question, const std::string& folder, uint64_t needed_bytes,
                 uint64_t free_bytes);

}  // namespace ckpt
