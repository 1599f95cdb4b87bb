#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "store/http/exchange.h"
#include "store/http/http.h"
#include "store/http/origins.h"
#include "store/http/pacer.h"

namespace ckpt::http {

/// Time and chance, passed in.
struct Moment {
  Time now;
  int64_t unix_seconds = 0;
  double chance = 0;  ///< in [0, 1)
};

/// What to do after a try.
struct Step {
  enum class Kind {
    kFinish,     ///< `result` is the answer
    kSend,       ///< at once (a redirect)
    kSendLater,  ///< after `delay`
    kRenew,      ///< the credentials were refused: others, then again (Authorized())
  };
  Kind kind = Kind::kFinish;
  std::optional<Result<Response>> result{};
  std::chrono::milliseconds delay{0};
  std::string retry_key{};  ///< for the counts; empty where it is no retry
};

/// One request until its final answer: a state machine that neither sends nor waits itself.
///
///   NextTry() -> OnHead(), OnBody()... -> OnEnd() -> kSend, kSendLater: again
///                                                 -> kRenew: Authorized() or Refused(), again
///                                                 -> kFinish: Finish()
///
/// A range goes on at the byte reached; each try begins at the request's own address, so that a
/// signed redirect target that expired or broke is asked for anew. Not thread-safe.
class Transfer final : public Receiver {
 public:
  /// What it borrows must outlive it.
  Transfer(Request request, Done done, const EngineOptions& options, const Origins& origins);

  const Url& url() const { return url_; }  ///< of the next or present try
  /// Whose headers the next try needs; null where it needs none, or has left their origin.
  std::shared_ptr<Authorizer> authorizer() const {
    return IsHome() ? request_.authorizer : nullptr;
  }
  const Headers& authorization() const { return authorization_; }
  void Authorized(Headers headers) { authorization_ = std::move(headers); }
  /// There are no other credentials: the 401 is the answer.
  Step Refused();

  Sending NextTry(Time now);
  bool OnHead(int status, Headers headers) override;
  bool OnBody(std::span<const std::byte> bytes) override;
  Step OnEnd(const Ending& ending, const Moment& moment);

  /// Started after the stop.
  void MarkLate() { is_late_ = true; }
  bool is_late() const { return is_late_; }

  /// Whether the present try had begun with this status; 0 before. For the pacer.
  int status() const { return response_.status; }
  uint64_t received_bytes() const { return received_bytes_; }  ///< in the present try

  /// Calls `done`; the last call.
  void Finish(Result<Response> result);
  void Stop();  ///< Finish() with kInterrupted

 private:
  bool IsHome() const { return !has_left_home_; }
  bool IsRangeAnswer() const;
  bool Reject(std::string what);
  bool CheckRange();
  bool CheckWhole();
  Step OnAnswer(const Moment& moment);
  Step OnRedirect();
  Step OnBadStatus(const Moment& moment);
  Step OnBroken(const Ending& ending, const Moment& moment);
  Step OnWrongAnswer(const Moment& moment);
  std::optional<std::chrono::milliseconds> DelayBefore(
      const Moment& moment, std::optional<std::chrono::milliseconds> asked) const;
  Step Retry(std::string key, std::chrono::milliseconds delay);
  Step GiveUp(Error error) const;

  Request request_;
  Done done_;
  const EngineOptions& options_;
  const Origins& origins_;
  const bool is_range_;

  Url url_;
  unsigned redirects_ = 0;
  bool has_left_home_ = false;  // to another origin: credentials stay behind
  bool is_home_private_ = false;
  Headers authorization_;
  bool has_renewed_ = false;

  Response response_;  // of the present try
  uint64_t received_bytes_ = 0;
  std::optional<Error> failure_;  // why we stopped it
  bool is_enough_ = false;        // we stopped it, and it serves as an answer

  uint64_t reached_bytes_ = 0;   // of the range
  uint64_t furthest_bytes_ = 0;  // of any try; what lies beyond is progress
  uint64_t furthest_sent_bytes_ = 0;
  uint64_t known_total_bytes_ = 0;
  unsigned tries_ = 0;
  unsigned failures_ = 0;  // since the last progress
  unsigned wrong_answers_ = 0;
  Time last_progress_{};
  bool has_progressed_ = false;  // in the present try
  bool is_late_ = false;
};

}  // namespace ckpt::http
