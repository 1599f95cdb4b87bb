#include "store/meta/link.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/json_text.h"
#include "base/text.h"

namespace ckpt {
namespace {

constexpr std::string_view kNewLink =
    "request a new link at https://www.llama.com/llama-downloads/ and give it whole";

std::string Cleaned(std::string_view text) {
  constexpr std::string_view around = " \t\r\n'\"`<>";
  constexpr std::string_view escaped = "?=&*";
  const size_t begin = text.find_first_not_of(around);
  if (begin == std::string_view::npos) return "";
  text = text.substr(begin, text.find_last_not_of(around) - begin + 1);
  std::string cleaned;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_escape = text[i] == '\\' && i + 1 < text.size() &&
                           escaped.find(text[i + 1]) != std::string_view::npos;
    if (!is_escape) cleaned += text[i];
  }
  return cleaned;
}

// The value of "name=value" in a query; "" where there is none.
std::string ParameterOf(std::string_view query, std::string_view name) {
  for (const std::string& part : Split(query, '&')) {
    if (part.size() > name.size() && part.starts_with(name) && part[name.size()] == '=')
      return part.substr(name.size() + 1);
  }
  return "";
}

// CloudFront writes - for +, _ for = and ~ for /.
std::string FromCloudFront(std::string text) {
  for (char& c : text) {
    if (c == '-') c = '+';
    if (c == '_') c = '=';
    if (c == '~') c = '/';
  }
  return text;
}

// Statement[0].Condition.DateLessThan["AWS:EpochTime"].
std::optional<int64_t> EpochTime(const nlohmann::json& policy) {
  const nlohmann::json* at = &policy;
  const auto into = [&](const char* key) {
    if (at == nullptr || !at->is_object()) return at = nullptr, void();
    const auto found = at->find(key);
    at = found == at->end() ? nullptr : &*found;
  };
  into("Statement");
  if (at != nullptr) at = at->is_array() && !at->empty() ? &at->front() : nullptr;
  into("Condition");
  into("DateLessThan");
  into("AWS:EpochTime");
  if (at == nullptr || !at->is_number_integer()) return std::nullopt;
  return at->get<int64_t>();
}

}  // namespace

Result<MetaLink> MetaLink::Parse(const Secret& text) {
  MetaLink link;
  const Result<http::Url> url = http::Url::Parse(Cleaned(text.Reveal()));
  // Its errors name the text, which must not be repeated here.
  if (!url) return Fail(Code::kNoCredential, "Meta's link is no address", std::string(kNewLink));
  link.url_ = *url;
  if (link.url_.path().find('*') == std::string::npos)
    return Fail(Code::kNoCredential,
                fmt::format("Meta's link has no '*' for the file: {}", Printable(link.Print())),
                std::string(kNewLink));
  if (link.url_.query().empty())
    return Fail(Code::kNoCredential,
                fmt::format("Meta's link is cut: nothing follows {}", Printable(link.Print())),
                "put it in quotation marks: a shell ends it at the first '&'");
  return link;
}

http::Url MetaLink::Of(std::string_view path) const {
  std::string whole = url_.path();
  whole.replace(whole.find('*'), 1, http::PercentEncode(path, "/"));
  return url_.WithPath(std::move(whole)).WithQuery(url_.query().Reveal());
}

std::optional<int64_t> MetaLink::Expiry() const {
  const std::string policy = ParameterOf(url_.query().Reveal(), "Policy");
  const std::optional<std::string> text = DecodeBase64(FromCloudFront(policy));
  if (!text || text->empty()) return std::nullopt;
  return EpochTime(ParseJson(*text));
}

Result<void> MetaLink::CheckAlive(int64_t now) const {
  const std::optional<int64_t> expiry = Expiry();
  if (!expiry || now < *expiry) return {};
  constexpr int64_t last_printable = 4'102'444'800;  // the year 2100
  const int64_t shown = std::clamp<int64_t>(*expiry, 0, last_printable);
  return Fail({Code::kDenied,
               fmt::format("Meta's link has expired at {:%Y-%m-%d %H:%M:%S} UTC",
                           fmt::gmtime(static_cast<std::time_t>(shown))),
               {},
               {{"address", Printable(Print())}},
               std::string(kNewLink) + "; all that is done is kept"});
}

}  // namespace ckpt
