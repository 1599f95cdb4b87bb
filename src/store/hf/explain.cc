#include "store/hf/explain.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/json_text.h"
#include "base/text.h"

namespace ckpt {
namespace {

// The Hub's own words: of the header, else of the body.
std::string HubMessage(const http::Headers& headers, std::string_view body) {
  if (const std::string* message = http::FindHeader(headers, "X-Error-Message"))
    return Excerpt(*message);
  const nlohmann::json json = ParseJson(body);
  if (json.is_object()) {
    if (const auto error = json.find("error"); error != json.end() && error->is_string())
      return Excerpt(error->get<std::string>());
  }
  return "";
}

std::string Quoted(std::string_view message) {
  return message.empty() ? "" : fmt::format(" (\"{}\")", message);
}

std::string TokenWords(const HfQuestion& question) {
  return question.is_token_sent ? "a token was sent, from " + question.token_source
                                : "no token was sent";
}

Error Refusal(Code code, const HfQuestion& question, std::string what, std::string remedy) {
  Error error{code, std::move(what), {}, {}, std::move(remedy)};
  if (!question.file.empty()) error.where.push_back({"file", Printable(question.file)});
  error.where.push_back({"repository", Printable(question.repo + "@" + question.revision)});
  return error;
}

// Without a token it is the token that is missing.
Code DeniedTo(const HfQuestion& question) {
  return question.is_token_sent ? Code::kDenied : Code::kNoCredential;
}

Error Gated(const HfQuestion& question, std::string_view message) {
  return Refusal(
      DeniedTo(question), question,
      fmt::format("{} is gated{}; {}", question.repo, Quoted(message), TokenWords(question)),
      fmt::format("open {}/{}, accept the terms with the account of the token, then run "
                  "again{}",
                  question.site, question.repo,
                  question.is_token_sent ? "" : " with that token in HF_TOKEN"));
}

Error NotSeen(const HfQuestion& question, Code code, std::string_view message) {
  return Refusal(
      code, question,
      fmt::format("{} does not exist, or is private, or the token is not good (the Hub does not "
                  "tell which){}; {}",
                  question.repo, Quoted(message), TokenWords(question)),
      question.is_token_sent
          ? "check the name; if it is right, use a token of an account that may read it"
          : "check the name; if it is right, set HF_TOKEN to a token of an account that may read "
            "it");
}

Error Unauthorized(const HfQuestion& question, std::string_view message) {
  if (message.find("Invalid credentials in Authorization header") != std::string_view::npos ||
      message.find("Invalid username or password") != std::string_view::npos)
    return Refusal(Code::kDenied, question,
                   fmt::format("the token from {} is wrong or has expired",
                               question.is_token_sent ? question.token_source : "nowhere"),
                   fmt::format("make a new one at {}/settings/tokens", question.site));
  return NotSeen(question, DeniedTo(question), message);
}

Error Forbidden(const HfQuestion& question, std::string_view message) {
  if (message.find("Access to this resource is disabled") != std::string_view::npos)
    return Refusal(Code::kDenied, question,
                   fmt::format("the Hub has disabled {}{}", question.repo, Quoted(message)),
                   "no token helps: use another repository");
  return Refusal(
      Code::kDenied, question,
      fmt::format("the Hub refuses to give {}{}; {}", question.repo, Quoted(message),
                  TokenWords(question)),
      fmt::format("a fine-grained token needs \"Read access to contents of all public gated repos "
                  "you can access\": set it at {}/settings/tokens",
                  question.site));
}

// "did you mean", and some of what there is.
std::string KnownWords(std::string_view wanted, const std::vector<std::string>& known) {
  if (known.empty()) return "";
  const std::string nearest = Nearest(wanted, known);
  if (!nearest.empty()) return fmt::format("did you mean {}? ", Printable(nearest));
  std::vector<std::string> printable;
  printable.reserve(known.size());
  for (const std::string& name : known) printable.push_back(Printable(name));
  return "there are: " + ListSome(printable) + "; ";
}

Error Missing(const HfQuestion& question, std::string_view code, std::string_view message) {
  if (code == "RevisionNotFound")
    return Refusal(
        Code::kNotFound, question,
        fmt::format("{} has no revision \"{}\"", question.repo, Printable(question.revision)),
        KnownWords(question.revision, question.known) +
            "name a branch, a tag or a commit after '@'");
  if (code == "EntryNotFound" || !question.file.empty())
    return Refusal(Code::kNotFound, question,
                   fmt::format("{} has no file \"{}\"", question.repo, Printable(question.file)),
                   KnownWords(question.file, question.known) + "check the name and the revision");
  return NotSeen(question, Code::kNotFound, message);
}

// RateLimit: "api";r=0;t=55
std::optional<int> SecondsToWait(const http::Headers& headers) {
  std::string_view text;
  if (const std::string* limit = http::FindHeader(headers, "RateLimit")) {
    const size_t at = limit->find("t=");
    if (at != std::string::npos) text = std::string_view(*limit).substr(at + 2);
  }
  if (const std::string* after = http::FindHeader(headers, "Retry-After"); text.empty() && after)
    text = *after;
  int seconds = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (read.ec != std::errc() || seconds < 0) return std::nullopt;
  return seconds;
}

Error Limited(const HfQuestion& question, const http::Headers& headers) {
  const std::optional<int> seconds = SecondsToWait(headers);
  return Refusal(Code::kTemporary, question,
                 fmt::format("the Hub limits the rate of requests; {}", TokenWords(question)),
                 seconds ? fmt::format("run again in {} s", *seconds)
                         : "run again later; with a token the limit is higher");
}

Error OfStorage(const HfQuestion& question, int status) {
  if (status == 400)
    return Refusal(
        Code::kBadInput, question,
        "the storage refuses to send ranges of this file: it is served by the Xet "
        "protocol only",
        fmt::format("download with `hf download {}` and convert from the folder", question.repo));
  return Refusal(Code::kDenied, question,
                 "the storage refuses the signed address that the Hub gave, and a new one too",
                 "check the clock of this machine and proxies on the way, then run again");
}

}  // namespace

Error ExplainHf(const HfQuestion& question, int status, const http::Headers& headers,
                std::string_view body) {
  const std::string* header = http::FindHeader(headers, "X-Error-Code");
  const std::string code = header ? *header : "";
  const std::string message = HubMessage(headers, body);
  if (question.is_of_storage && (status == 400 || status == 401 || status == 403))
    return OfStorage(question, status);
  if ((status == 401 || status == 403) && code == "GatedRepo") return Gated(question, message);
  switch (status) {
    case 401:
      return Unauthorized(question, message);
    case 403:
      return Forbidden(question, message);
    case 404:
      if (code == "RepoNotFound") return NotSeen(question, Code::kNotFound, message);
      return Missing(question, code, message);
    case 416:
      return Refusal(Code::kBadInput, question,
                     "the file ends before the range that was asked for: its size is not the one "
                     "of the listing",
                     "run again, or name another revision");
    case 429:
      return Limited(question, headers);
    default:
      break;
  }
  const bool is_down = status == 408 || status >= 500;
  return Refusal(is_down ? Code::kUnavailable : Code::kIo, question,
                 fmt::format("{} answered with status {}{}",
                             question.is_of_storage ? "the storage of the Hub" : "the Hub", status,
                             Quoted(message)),
                 is_down ? "run again later: what is done is kept" : "check HF_ENDPOINT");
}

}  // namespace ckpt
