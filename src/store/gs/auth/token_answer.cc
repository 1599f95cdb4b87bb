#include "store/gs/auth/token_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"

namespace ckpt::gs {
namespace {

std::string RemedyOf(const std::string& error, const std::string& description) {
  const std::string words = Lower(description);
  if (words.find("invalid jwt") != std::string::npos && words.find("iat") != std::string::npos)
    return "the clock of this machine is wrong: set it";
  if (words.find("invalid jwt signature") != std::string::npos)
    return "the key was deleted, or the file is damaged: make a new key of the service account";
  if (error == "invalid_grant")
    return "the credentials were revoked or have expired: run gcloud auth application-default "
           "login";
  return "make the credentials again: gcloud auth application-default login, or a new key";
}

}  // namespace

std::string PrintForm(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string form;
  for (const auto& [name, value] : fields)
    form += fmt::format("{}{}={}", form.empty() ? "" : "&", http::PercentEncode(name),
                        http::PercentEncode(value));
  return form;
}

Error ExplainOAuth(int status, std::string_view body) {
  const nlohmann::json json = ParseJson(body);
  std::string error;
  std::string description;
  if (json.is_object()) {
    if (const auto at = json.find("error"); at != json.end()) {
      if (at->is_string()) error = at->get<std::string>();
      if (at->is_object()) {  // of Google's other services
        error = at->value("status", "");
        description = at->value("message", "");
      }
    }
    if (const auto at = json.find("error_description"); at != json.end() && at->is_string())
      description = at->get<std::string>();
  }
  std::string what = fmt::format("the token service answered {}", status);
  if (!error.empty()) what += " " + Excerpt(error);
  if (!description.empty()) what += ": " + Excerpt(description);
  return {Code::kDenied, std::move(what), {}, {}, RemedyOf(error, description)};
}

Result<std::string> PostForm(http::Engine& engine, const http::Url& url, const std::string& form) {
  http::Request request;
  request.method = "POST";
  request.url = url;
  request.headers.push_back({"Content-Type", "application/x-www-form-urlencoded"});
  request.body = std::as_bytes(std::span(form));
  request.follows_redirects = false;
  CKPT_TRY(http::Response response, engine.Send(std::move(request)));
  if (response.status != 200) return Fail(ExplainOAuth(response.status, response.body));
  return std::move(response.body);
}

Result<Token> ParseTokenAnswer(std::string_view text, std::chrono::system_clock::time_point now) {
  const nlohmann::json json = ParseJson(text);
  if (json.is_object()) {
    const auto value = json.find("access_token");
    const auto seconds = json.find("expires_in");
    if (value != json.end() && value->is_string() && !value->get<std::string>().empty() &&
        seconds != json.end() && seconds->is_number_integer()) {
      constexpr int64_t day = 86400;
      const auto life = std::clamp<int64_t>(seconds->get<int64_t>(), 0, day);
      return Token{Secret(value->get<std::string>()), now + std::chrono::seconds(life)};
    }
  }
  return Fail(Code::kUnavailable, "the token service's answer holds no access token",
              "is the address in the credentials right? Else try again later");
}

}  // namespace ckpt::gs
