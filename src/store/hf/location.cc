#include "store/hf/location.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "base/text.h"
#include "store/hub/redirect.h"

namespace ckpt {
namespace {

constexpr int kMostRedirects = 5;

tl::unexpected<Error> Changed(std::string what) {
  return Fail(Code::kBadInput, std::move(what), "run again; if it stays, check HF_ENDPOINT");
}

// The Hub's answer must speak of the commit and the size that the listing had.
Result<void> CheckAnswer(const http::Response& answer, const std::string& commit,
                         const HfFile& file) {
  const std::string* named = http::FindHeader(answer.headers, "X-Repo-Commit");
  if (named != nullptr && *named != commit)
    return Changed(
        fmt::format("the Hub answers with commit {} instead of {}", Excerpt(*named), commit));
  const std::string* size = http::FindHeader(answer.headers, "X-Linked-Size");
  if (size == nullptr) return {};
  uint64_t bytes = 0;
  const auto read = std::from_chars(size->data(), size->data() + size->size(), bytes);
  if (read.ec != std::errc() || bytes != file.size_bytes)
    return Changed(fmt::format("the Hub names a size of {} bytes now, {} in its listing",
                               Excerpt(*size), file.size_bytes));
  return {};
}

}  // namespace

http::Request RequestAt(const HfApi& api, const HfLocation& location) {
  http::Request request;
  if (!location.is_of_storage) request.authorizer = api.Ask("/").authorizer;
  request.url = location.url;
  request.headers = {{"Accept-Encoding", "identity"}};
  return request;
}

Result<HfLocation> Locate(const HfApi& api, const std::string& commit, const HfFile& file) {
  http::Url url = api.Ask(HfApi::ResolvePath(api.place(), commit, file.path)).url;
  for (int redirects = 0; redirects <= kMostRedirects; ++redirects) {
    http::Request request = RequestAt(api, {url, false});
    request.method = "HEAD";
    request.follows_redirects = false;
    CKPT_TRY(const http::Response answer, api.options().engine->Send(std::move(request)));
    CKPT_TRY_VOID(CheckAnswer(answer, commit, file));
    if (answer.status == 200) return HfLocation{url, false};
    CKPT_TRY(std::optional<http::Url> target, RedirectTarget(*api.options().engine, url, answer));
    if (!target) {
      HfQuestion question = api.Question();
      question.file = file.path;
      return Fail(ExplainHf(question, answer.status, answer.headers, answer.body));
    }
    if (target->Origin() != url.Origin()) return HfLocation{*std::move(target), true};
    url = *std::move(target);
  }
  return Changed(fmt::format("the Hub redirects more than {} times", kMostRedirects));
}

}  // namespace ckpt
