#include "store/web/explain.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"

namespace ckpt {
namespace {

Error WebError(Code code, const http::Url& url, std::string what, std::string remedy) {
  return {code, std::move(what), {}, {{"address", Printable(url.Print())}}, std::move(remedy)};
}

}  // namespace

Error ExplainWeb(const http::Url& url, int status) {
  switch (status) {
    case 401:
    case 403:
      return WebError(Code::kDenied, url, fmt::format("the server refuses (status {})", status),
                      url.query().empty()
                          ? "it wants credentials, which an address cannot carry: download the "
                            "file and name the folder"
                          : "a signed address expires, and is for one file only: get a new one");
    case 404:
    case 410:
      return WebError(Code::kNotFound, url, "the server has no such file", "check the address");
    case 412:
      return WebError(Code::kBadInput, url, "the file is another one than when it was first seen",
                      "run again when it no longer changes");
    case 416:
      return WebError(Code::kBadInput, url, "the file ends before the range that was asked for",
                      "run again when it no longer changes");
    case 429:
      return WebError(Code::kTemporary, url, "the server limits the rate of requests",
                      "run again later");
    default:
      break;
  }
  const bool is_down = status == 408 || status >= 500;
  return WebError(is_down ? Code::kUnavailable : Code::kIo, url,
                  fmt::format("the server answered with status {}", status),
                  is_down ? "run again later" : "check the address");
}

Error NoRanges(const http::Url& url) {
  return WebError(Code::kBadInput, url, "the server sends whole files only, no ranges of them",
                  "download the file, and name the folder that it is in");
}

}  // namespace ckpt
