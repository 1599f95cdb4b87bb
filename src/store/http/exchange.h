#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "store/http/http.h"
#include "store/http/pacer.h"

namespace ckpt::http {

/// Who reads an answer while it arrives. False ends the exchange (Ending::Kind::kStopped).
class Receiver {
 public:
  virtual ~Receiver() = default;
  /// Status and headers are complete (not called for 1xx).
  virtual bool OnHead(int status, Headers headers) = 0;
  virtual bool OnBody(std::span<const std::byte> bytes) = 0;
};

/// What goes on the wire: one try of a request.
struct Sending {
  std::string method;
  Url url;
  Headers headers;
  std::span<const std::byte> body;
  bool is_repeatable = true;  ///< else on a fresh connection: an old one may break midway
  bool refuses_private_address = false;  ///< whatever the host's name resolves to
};

/// How a try ended.
struct Ending {
  enum class Kind {
    kWhole,           ///< an answer, complete
    kStopped,         ///< the receiver had enough
    kUnresolved,      ///< the name (or the proxy's) has no address
    kNoConnection,    ///< refused, unreachable, or the TLS handshake broke off
    kTimeout,         ///< no connection in time
    kBroken,          ///< the connection broke afterwards
    kShort,           ///< it closed before the body's end
    kStall,           ///< too slow for too long
    kUntrusted,       ///< TLS: the certificate or the protocol is not acceptable
    kPrivateAddress,  ///< refuses_private_address, and it was one
    kResources,
    kOther,
  };
  Kind kind = Kind::kOther;
  std::string words{};      ///< libcurl's, for messages
  std::string peer{};       ///< address of the service; empty behind a proxy
  bool was_sent = false;    ///< the request may have reached the service
  uint64_t sent_bytes = 0;  ///< of the body
};

/// One easy handle of libcurl, used for one try after another. Belongs to one thread.
class Exchange {
 public:
  struct Settings {
    std::string ca_bundle;  ///< empty: libcurl's own
    std::chrono::seconds connect_timeout{20};
    std::chrono::seconds stall{30};
  };
  static Result<std::unique_ptr<Exchange>> Make(Settings settings);
  virtual ~Exchange() = default;

  /// The CURL*, for a multi handle.
  virtual void* handle() = 0;
  /// Everything it is given must live until End(). `proxy` may be empty.
  virtual Result<void> Begin(Sending sending, const Secret& proxy, Receiver& receiver) = 0;
  /// Under 1 KiB/s since the request was sent, for as long as the settings allow.
  virtual bool IsStalled(Time now) = 0;
  /// After the handle left the multi handle. `curl_code` is the CURLcode.
  virtual Ending End(int curl_code) = 0;
};

}  // namespace ckpt::http
