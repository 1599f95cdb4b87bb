#include "store/meta/explain.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"

namespace ckpt {
namespace {

Error MetaError(Code code, const http::Url& url, std::string what, std::string remedy) {
  return {code, std::move(what), {}, {{"address", Printable(url.Print())}}, std::move(remedy)};
}

}  // namespace

Error ExplainMeta(const http::Url& url, int status) {
  switch (status) {
    case 401:
    case 403:
      return MetaError(
          Code::kDenied, url,
          "Meta refuses: the link has expired, or is for another family of models (each e-mail "
          "covers one), or was used for as many downloads as it allows",
          "request a new link at https://www.llama.com/llama-downloads/ and run again: all that is "
          "done is kept");
    case 404:
      return MetaError(Code::kNotFound, url, "there is no such file behind Meta's link",
                       "check the model id");
    case 400:
    case 416:
      return MetaError(Code::kBadInput, url,
                       fmt::format("Meta's server does not give this range (status {})", status),
                       "run again; if it stays, please report it");
    case 429:
      return MetaError(Code::kTemporary, url, "Meta's server limits the rate of requests",
                       "run again later: all that is done is kept");
    default:
      break;
  }
  const bool is_down = status == 408 || status >= 500;
  return MetaError(is_down ? Code::kUnavailable : Code::kIo, url,
                   fmt::format("Meta's server answered with status {}", status),
                   "run again later: all that is done is kept");
}

}  // namespace ckpt
