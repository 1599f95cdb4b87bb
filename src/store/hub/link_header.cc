#include "store/hub/link_header.h"

#include <fmt/format.h>

#include "base/text.h"

namespace ckpt {
namespace {

// The address of the value with rel="next": <address>; rel="next", <address>; rel="prev"
std::optional<std::string> NextAddress(std::string_view value) {
  while (true) {
    const size_t begin = value.find('<');
    if (begin == std::string_view::npos) return std::nullopt;
    const size_t end = value.find('>', begin);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view address = value.substr(begin + 1, end - begin - 1);
    value = value.substr(end + 1);
    const std::string_view parameters = value.substr(0, value.find('<'));
    const std::string lower = Lower(parameters);
    if (lower.find("rel=\"next\"") != std::string::npos ||
        lower.find("rel=next") != std::string::npos)
      return std::string(address);
  }
}

}  // namespace

Result<std::optional<http::Url>> NextPage(const http::Url& page, const http::Headers& headers) {
  const std::string* value = http::FindHeader(headers, "Link");
  const std::optional<std::string> address = value ? NextAddress(*value) : std::nullopt;
  if (!address) return std::optional<http::Url>();
  CKPT_TRY(const http::Url next, page.Resolve(*address));
  if (next.Origin() != page.Origin())
    return Fail(Code::kBadInput,
                fmt::format("the next page of the listing of {} is at another place, {}",
                            page.Print(), next.Origin()),
                "only pages of the same origin are read: check the endpoint");
  return std::optional(next);
}

}  // namespace ckpt
