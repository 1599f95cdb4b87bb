#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"
#include "store/http/url.h"

namespace ckpt::http {

struct Header {
  std::string name;
  std::string value;
};
using Headers = std::vector<Header>;

/// The value of the first header of that name (any case); nullptr where there is none.
const std::string* FindHeader(const Headers& headers, std::string_view name);

/// Credentials of one origin. Thread-safe. Called on threads that may wait, never on the engine's.
class Authorizer {
 public:
  virtual ~Authorizer() = default;
  /// The headers that authorize a request (such as Authorization), from a token that is still good;
  /// fetches or refreshes it first where needed. Empty where the service wants none.
  virtual Result<Headers> Authorize() = 0;
  /// The service answered 401 to these credentials: makes the next Authorize() give new ones.
  /// False where no others can be had.
  virtual bool Renew() = 0;
};

struct Request {
  std::string method = "GET";
  Url url;
  Headers headers;
  /// Its headers go to the origin of `url` and to no other. May be null.
  std::shared_ptr<Authorizer> authorizer;
  /// Sent as it is; must live until the answer.
  std::span<const std::byte> body;

  /// With a range ("Range: bytes=a-b" is added): a 206 body of exactly these bytes lands in `into`,
  /// whose size is the range's. What arrived before a broken connection stays, and the next try
  /// asks for the rest. A 200 is an error unless the range begins at 0 and the whole body is the
  /// range's size; so is a Content-Range that is not what was asked for, or whose total is not
  /// `total_bytes` (0: not compared). Such an answer is asked for again a few times.
  std::optional<ByteRange> range;
  std::span<std::byte> into;
  uint64_t total_bytes = 0;

  /// May be sent again although it is not known whether it took effect (reads; writes under a
  /// precondition). Otherwise it is tried again only where it surely was not carried out (no
  /// connection; 429, 503 with Retry-After).
  bool is_repeatable = true;
  /// Statuses that are an answer and no reason to try again, whatever the policy says (a resumable
  /// upload asks for its state itself after a 503).
  bool retries_statuses = true;
  /// 301, 302, 303, 307, 308 are followed (GET and HEAD only); else they are answers.
  bool follows_redirects = true;
  uint64_t body_limit_bytes = 16 << 20;  ///< of an answer's body, where it has no range
};

/// An answer: any status that is final. Interpretation is the store's.
struct Response {
  int status = 0;
  Headers headers;
  std::string body;          ///< empty where it went to Request::into
  uint64_t total_bytes = 0;  ///< of the object, from Content-Range or Content-Length; 0: not told
  Url url;                   ///< after redirects
};

using Done = std::function<void(Result<Response>)>;

struct EngineOptions {
  unsigned threads = 2;       ///< each with a multi handle of its own
  unsigned connections = 16;  ///< in all, spread over the threads
  std::string ca_bundle;      ///< file; empty: SSL_CERT_FILE, CURL_CA_BUNDLE, the system's
  std::chrono::milliseconds first_delay{
      1000};  ///< of the retry policy: random(0, min(cap, first * 2^n))
  std::chrono::milliseconds delay_cap{32'000};
  std::chrono::milliseconds deadline{600'000};  ///< of one request without progress
  std::chrono::seconds stall{30};  ///< under 1 KiB/s for this long is a broken connection
  std::chrono::seconds connect_timeout{20};
  /// Ends waiting and transfers with kInterrupted. Requests that are started afterwards are of
  /// tidying up: they have until `grace` after the stop.
  std::stop_token stop;
  std::chrono::milliseconds grace{5000};
  /// Origins that the user configured (endpoint overrides, emulators): they may be private,
  /// loopback or without TLS, and redirects may lead to them.
  std::vector<std::string> trusted_origins;
};

/// What happened, for the report. Keys of `retries`: "status 503", "connection", "stall",
/// "short body", "timeout".
struct Counts {
  uint64_t requests = 0;
  uint64_t received_bytes = 0;
  uint64_t sent_bytes = 0;
  std::map<std::string, uint64_t> retries;
  std::map<std::string, uint64_t> requests_by_method;
};

/// The one HTTP engine: connections, retries, pacing, redirects, TLS, redaction. Thread-safe.
/// Policy: docs/http.md. Errors that it gives itself: kUnavailable (no answer, or 408, 429 as
/// kTemporary, 5xx after all tries; TLS: never retried; redirect refused), kBadInput (wrong range),
/// kInterrupted. Every error names the address without its query.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Kills what is under way.
  static Result<std::shared_ptr<Engine>> Make(EngineOptions options);

  /// `done` is called once, on a thread of the engine: it must not wait.
  virtual void Start(Request request, Done done) = 0;
  virtual Counts counts() const = 0;
  virtual const EngineOptions& options() const = 0;

  std::future<Result<Response>> Start(Request request);
  Result<Response> Send(Request request) { return Start(std::move(request)).get(); }
};

}  // namespace ckpt::http
