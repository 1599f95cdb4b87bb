#include "store/http/ending_kind.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>

namespace ckpt::http {
namespace {

// libcurl has one code for a handshake that broke off, which passes, and for two sides that will
// never agree; only the text of OpenSSL tells them apart. A text we do not know is tried again.
bool IsDisagreement(std::string_view words) {
  constexpr std::array<std::string_view, 5> reasons = {
      "protocol version", "wrong version number", "unsupported protocol", "no protocols available",
      "handshake failure"};
  return std::ranges::any_of(reasons, [&](std::string_view reason) {
    return words.find(reason) != std::string_view::npos;
  });
}

}  // namespace

Ending::Kind EndingKind(int curl_code, bool was_sent, std::string_view words) {
  using Kind = Ending::Kind;
  switch (static_cast<CURLcode>(curl_code)) {
    case CURLE_OK:
      return Kind::kWhole;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Kind::kUnresolved;
    case CURLE_COULDNT_CONNECT:
    case CURLE_INTERFACE_FAILED:
    case CURLE_PROXY:
      return was_sent ? Kind::kBroken : Kind::kNoConnection;
    case CURLE_SSL_CONNECT_ERROR:
      if (IsDisagreement(words)) return Kind::kUntrusted;
      return was_sent ? Kind::kBroken : Kind::kNoConnection;
    case CURLE_OPERATION_TIMEDOUT:
      return was_sent ? Kind::kStall : Kind::kTimeout;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:  // an answer that is no HTTP/1
      return was_sent ? Kind::kBroken : Kind::kNoConnection;
    case CURLE_PARTIAL_FILE:
      return Kind::kShort;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_ENGINE_INITFAILED:
      return Kind::kUntrusted;
    case CURLE_OUT_OF_MEMORY:
      return Kind::kResources;
    default:
      return Kind::kOther;
  }
}

}  // namespace ckpt::http
