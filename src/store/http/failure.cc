#include "store/http/failure.h"

#include <fmt/format.h>

#include "base/text.h"
#include "base/units.h"

namespace ckpt::http {
namespace {

using Kind = Ending::Kind;

std::string Tries(unsigned tries) {
  return tries == 1 ? "after one try" : fmt::format("after {} tries", tries);
}

std::string_view Summary(Kind kind) {
  switch (kind) {
    case Kind::kUnresolved:
      return "the host's name has no address";
    case Kind::kNoConnection:
      return "no connection";
    case Kind::kTimeout:
      return "no connection in time";
    case Kind::kShort:
      return "the answer ends too early";
    case Kind::kStall:
      return "the transfer stalls";
    case Kind::kUntrusted:
      return "TLS refuses the service";
    case Kind::kPrivateAddress:
      return "refused to follow a redirect to a private address";
    case Kind::kResources:
      return "no memory for a request";
    case Kind::kWhole:
    case Kind::kStopped:
    case Kind::kBroken:
    case Kind::kOther:
      break;
  }
  return "the connection broke";
}

std::string_view Remedy(Kind kind) {
  switch (kind) {
    case Kind::kUnresolved:
      return "check the host's name, and that this machine reaches the network (a proxy: set "
             "https_proxy)";
    case Kind::kNoConnection:
    case Kind::kTimeout:
      return "check that the service is up and reachable from here (firewall; a proxy: set "
             "https_proxy), then run again";
    case Kind::kUntrusted:
      return "if the service or a proxy has a certificate of your own authority, name that with "
             "--ca-bundle; check the machine's clock too, and that the service speaks TLS 1.2";
    case Kind::kPrivateAddress:
      return "check that the address is the service you mean; if the service is your own, give its "
             "address as an endpoint";
    case Kind::kResources:
      return "allow more memory";
    default:
      return "run again; if it lasts, check the network between here and the service";
  }
}

}  // namespace

std::string RetryKey(Kind kind) {
  switch (kind) {
    case Kind::kUnresolved:
    case Kind::kNoConnection:
    case Kind::kBroken:
      return "connection";
    case Kind::kTimeout:
      return "timeout";
    case Kind::kShort:
      return "short body";
    case Kind::kStall:
      return "stall";
    default:
      return {};
  }
}

Error NoAnswer(const Ending& ending, const Url& url, unsigned tries) {
  std::string what = fmt::format("{} ({})", Summary(ending.kind), Tries(tries));
  if (!ending.words.empty()) what += ": " + Excerpt(ending.words);
  const Code code = ending.kind == Kind::kResources ? Code::kResources : Code::kUnavailable;
  return {code, std::move(what), {}, {{"address", url.Print()}}, std::string(Remedy(ending.kind))};
}

Error BadStatus(int status, const Url& url, unsigned tries, std::optional<milliseconds> asked) {
  std::string what = fmt::format("the service answers {} ({})", status, Tries(tries));
  if (status == 429) what += ": too many requests";
  if (asked)
    what += fmt::format("; it asks to wait {}",
                        FormatDuration(std::chrono::duration<double>(*asked).count()));
  const bool is_temporary = status == 429 || status == 408;
  return {is_temporary ? Code::kTemporary : Code::kUnavailable,
          std::move(what),
          {},
          {{"address", url.Print()}},
          is_temporary ? "run again later; fewer runs at once, or a token, raise a rate limit"
                       : "run again later; if it lasts, look at the service's status page"};
}

Error WrongAnswer(std::string what, const Url& url) {
  return {Code::kBadInput,
          std::move(what),
          {},
          {{"address", url.Print()}},
          "run again; if it lasts, the service or a proxy before it does not keep to HTTP ranges"};
}

Error Stopped(const Url& url) {
  return {Code::kInterrupted, "stopped during a request", {}, {{"address", url.Print()}}, {}};
}

}  // namespace ckpt::http
