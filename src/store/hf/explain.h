#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "store/http/http.h"

namespace ckpt {

/// What was asked of the Hub, for the words of its refusal.
struct HfQuestion {
  std::string site = "https://huggingface.co";  ///< the endpoint's origin, for pages to open
  std::string repo;
  std::string revision;
  std::string file;  ///< "": the repository itself
  bool is_token_sent = false;
  std::string token_source;        ///< its name, never its value
  bool is_of_storage = false;      ///< a signed address answered, not the Hub
  std::vector<std::string> known;  ///< names like the one asked for: files, or revisions
};

/// The meaning of an answer that is no success, after the engine's retries. Pure. Origin of the
/// codes in X-Error-Code: huggingface/huggingface_hub, src/huggingface_hub/utils/_http.py.
/// Codes: kDenied (401, 403; kNoCredential where a token is asked for and none was sent), kNotFound
/// (404), kTemporary (429), kUnavailable (408, 5xx), kBadInput (400 and 416 of a file), else kIo.
Error ExplainHf(const HfQuestion& question, int status, const http::Headers& headers,
                std::string_view body);

}  // namespace ckpt
