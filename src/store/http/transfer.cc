#include "store/http/transfer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/units.h"
#include "store/http/address.h"
#include "store/http/failure.h"
#include "store/http/headers.h"
#include "store/http/retry.h"

namespace ckpt::http {
namespace {

constexpr unsigned kMostRedirects = 5;
// A name that does not resolve is mostly a wrong one: ten minutes of tries would only hide that.
constexpr unsigned kMostUnresolved = 5;
constexpr unsigned kMostWrongAnswers = 3;
// Of answers that explain a failure; the rest has no use.
constexpr uint64_t kMostExplanationBytes = 64 * kKiB;

bool IsSuccess(int status) { return status >= 200 && status <= 299; }

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

Transfer::Transfer(Request request, Done done, const EngineOptions& options, const Origins& origins)
    : request_(std::move(request)),
      done_(std::move(done)),
      options_(options),
      origins_(origins),
      is_range_(request_.range.has_value()),
      url_(request_.url),
      is_home_private_(Origins::IsPrivate(request_.url)),
      known_total_bytes_(request_.total_bytes) {
  CKPT_CHECK(!is_range_ || request_.into.size() == request_.range->size());
}

Sending Transfer::NextTry(Time now) {
  if (tries_ == 0) last_progress_ = now;
  ++tries_;
  response_ = {};
  response_.url = url_;
  received_bytes_ = 0;
  failure_.reset();
  is_enough_ = false;
  has_progressed_ = false;

  Sending sending{request_.method, url_, {}, request_.body, request_.is_repeatable, false};
  for (const Header& header : request_.headers) {
    if (IsHome() || !IsCredential(header.name)) sending.headers.push_back(header);
  }
  if (IsHome()) std::ranges::copy(authorization_, std::back_inserter(sending.headers));
  if (is_range_)
    sending.headers.push_back(
        {"Range", fmt::format("bytes={}-{}", request_.range->begin + reached_bytes_,
                              request_.range->end - 1)});
  sending.refuses_private_address =
      redirects_ > 0 && !is_home_private_ && !origins_.IsTrusted(url_);
  return sending;
}

bool Transfer::IsRangeAnswer() const { return is_range_ && IsSuccess(response_.status); }

bool Transfer::Reject(std::string what) {
  failure_ = WrongAnswer(std::move(what), url_);
  return false;
}

bool Transfer::OnHead(int status, Headers headers) {
  response_.status = status;
  response_.headers = std::move(headers);
  if (IsRangeAnswer()) return status == 206 ? CheckRange() : CheckWhole();
  if (const std::string* value = FindHeader(response_.headers, "Content-Range")) {
    const auto range = ParseContentRange(*value);
    if (range) response_.total_bytes = range->total_bytes.value_or(0);
  } else if (IsSuccess(status)) {
    response_.total_bytes = ContentLength(response_.headers).value_or(0);
  }
  return true;
}

// A 206: exactly the bytes that were asked for, of an object of the size that is known.
bool Transfer::CheckRange() {
  const ByteRange wanted{request_.range->begin + reached_bytes_, request_.range->end};
  const std::string* value = FindHeader(response_.headers, "Content-Range");
  const auto found = value == nullptr ? std::nullopt : ParseContentRange(*value);
  if (!found || !found->range)
    return Reject(
        fmt::format("a partial answer without a Content-Range for bytes {}", ToString(wanted)));
  if (*found->range != wanted)
    return Reject(
        fmt::format("bytes {} asked for, {} answered", ToString(wanted), ToString(*found->range)));
  const uint64_t total = found->total_bytes.value_or(0);
  if (total != 0 && known_total_bytes_ != 0 && total != known_total_bytes_)
    return Reject(fmt::format("the object has {} bytes, {} expected", total, known_total_bytes_));
  if (total != 0) known_total_bytes_ = total;
  response_.total_bytes = known_total_bytes_;
  if (ContentLength(response_.headers).value_or(0) > wanted.size())
    return Reject(fmt::format("more bytes announced than {}", ToString(wanted)));
  return true;
}

// Any other success: only a 200 with a body of the range's size will do.
bool Transfer::CheckWhole() {
  const uint64_t size = request_.range->size();
  const uint64_t length = ContentLength(response_.headers).value_or(size);
  if (response_.status != 200 || request_.range->begin != 0 || length != size)
    return Reject(fmt::format("bytes {} asked for, status {} answered{}", ToString(*request_.range),
                              response_.status,
                              response_.status == 200 ? " (the whole object)" : ""));
  if (known_total_bytes_ != 0 && known_total_bytes_ != size)
    return Reject(fmt::format("the object has {} bytes, {} expected", size, known_total_bytes_));
  response_.total_bytes = size;
  reached_bytes_ = 0;
  return true;
}

bool Transfer::OnBody(std::span<const std::byte> bytes) {
  received_bytes_ += bytes.size();
  if (IsRangeAnswer()) {
    if (bytes.size() > request_.into.size() - reached_bytes_)
      return Reject(fmt::format("more bytes than {} came", ToString(*request_.range)));
    if (!bytes.empty())
      std::memcpy(request_.into.data() + reached_bytes_, bytes.data(), bytes.size());
    reached_bytes_ += bytes.size();
  } else {
    const bool is_answer = IsSuccess(response_.status);
    const uint64_t limit = is_answer ? request_.body_limit_bytes
                                     : std::min(request_.body_limit_bytes, kMostExplanationBytes);
    const uint64_t room = limit - response_.body.size();
    const std::span<const std::byte> kept = bytes.first(std::min<uint64_t>(room, bytes.size()));
    response_.body.append(reinterpret_cast<const char*>(kept.data()), kept.size());
    if (kept.size() < bytes.size()) {
      if (is_answer) return Reject(fmt::format("the answer exceeds {}", FormatMemory(limit)));
      is_enough_ = true;
      return false;
    }
  }
  // The first bytes of an answer that comes again are no progress: else a request that always
  // breaks at the same byte would go on for ever.
  const uint64_t reached = IsRangeAnswer() ? reached_bytes_ : response_.body.size();
  if (IsSuccess(response_.status) && reached > furthest_bytes_) {
    furthest_bytes_ = reached;
    has_progressed_ = true;
  }
  return true;
}

Step Transfer::OnEnd(const Ending& ending, const Moment& moment) {
  if (redirects_ == 0 && !ending.peer.empty()) is_home_private_ |= !IsPublicAddress(ending.peer);
  if (ending.sent_bytes > furthest_sent_bytes_) {
    furthest_sent_bytes_ = ending.sent_bytes;
    has_progressed_ = true;
  }
  if (has_progressed_) {
    last_progress_ = moment.now;
    failures_ = 0;
  }
  if (failure_) return OnWrongAnswer(moment);
  if (ending.kind == Ending::Kind::kWhole || is_enough_) return OnAnswer(moment);
  return OnBroken(ending, moment);
}

Step Transfer::OnAnswer(const Moment& moment) {
  const int status = response_.status;
  if (IsRangeAnswer() && reached_bytes_ < request_.into.size()) {
    if (status == 200) return GiveUp(WrongAnswer("the object ends before the range does", url_));
    return OnBroken({.kind = Ending::Kind::kShort, .was_sent = true}, moment);
  }
  const bool is_read = request_.method == "GET" || request_.method == "HEAD";
  if (IsRedirect(status) && request_.follows_redirects && is_read) return OnRedirect();
  if (status == 401 && request_.authorizer && IsHome() && !has_renewed_) {
    has_renewed_ = true;
    return {.kind = Step::Kind::kRenew};
  }
  if (request_.retries_statuses && IsRetriableStatus(status)) return OnBadStatus(moment);
  return Refused();
}

Step Transfer::Refused() {
  Step step;
  step.result = std::move(response_);
  return step;
}

Step Transfer::OnRedirect() {
  const std::string* location = FindHeader(response_.headers, "Location");
  if (location == nullptr) return GiveUp(WrongAnswer("a redirect without a Location", url_));
  if (++redirects_ > kMostRedirects) {
    Error error = WrongAnswer(fmt::format("more than {} redirects", kMostRedirects), url_);
    error.code = Code::kUnavailable;
    error.remedy = "check that the address is the service you mean";
    return GiveUp(std::move(error));
  }
  Result<Url> target = origins_.Follow(url_, *location, is_home_private_);
  if (!target) return GiveUp(std::move(target).error());
  url_ = *std::move(target);
  has_left_home_ = has_left_home_ || url_.Origin() != request_.url.Origin();
  return {.kind = Step::Kind::kSend};
}

Step Transfer::OnBadStatus(const Moment& moment) {
  const int status = response_.status;
  const auto asked = AskedDelay(response_.headers, moment.unix_seconds);
  const bool is_safe = request_.is_repeatable || IsSurelyRefused(status, response_.headers);
  const auto delay = DelayBefore(moment, asked);
  if (is_safe && delay) return Retry(fmt::format("status {}", status), *delay);
  Error error = BadStatus(status, url_, tries_, asked);
  if (!is_safe) error.what += "; not sent again, as it may have taken effect";
  return GiveUp(std::move(error));
}

Step Transfer::OnBroken(const Ending& ending, const Moment& moment) {
  const std::string key = RetryKey(ending.kind);
  const bool is_hopeless =
      ending.kind == Ending::Kind::kUnresolved && failures_ + 1 >= kMostUnresolved;
  const bool is_safe = request_.is_repeatable || !ending.was_sent;
  const auto delay = DelayBefore(moment, std::nullopt);
  if (!key.empty() && !is_hopeless && is_safe && delay) return Retry(key, *delay);
  Error error = NoAnswer(ending, url_, tries_);
  if (!key.empty() && !is_safe) error.what += "; not sent again, as it may have taken effect";
  return GiveUp(std::move(error));
}

// A proxy in between may have slipped; one that slips again and again does not keep to HTTP.
Step Transfer::OnWrongAnswer(const Moment& moment) {
  const auto delay = DelayBefore(moment, std::nullopt);
  if (++wrong_answers_ >= kMostWrongAnswers || !request_.is_repeatable || !delay)
    return GiveUp(*failure_);
  reached_bytes_ = 0;  // which of its bytes were right is not known
  return Retry("wrong answer", *delay);
}

// Nothing where the deadline would have passed by then.
std::optional<milliseconds> Transfer::DelayBefore(const Moment& moment,
                                                  std::optional<milliseconds> asked) const {
  const milliseconds delay =
      std::max(RetryDelay(options_.first_delay, options_.delay_cap, failures_, moment.chance),
               asked.value_or(milliseconds(0)));
  if (moment.now + delay > last_progress_ + options_.deadline) return std::nullopt;
  return delay;
}

Step Transfer::Retry(std::string key, milliseconds delay) {
  ++failures_;
  url_ = request_.url;
  redirects_ = 0;
  has_left_home_ = false;
  return {.kind = Step::Kind::kSendLater, .delay = delay, .retry_key = std::move(key)};
}

Step Transfer::GiveUp(Error error) const {
  Step step;
  step.result = Fail(std::move(error));
  return step;
}

void Transfer::Finish(Result<Response> result) {
  CKPT_CHECK(done_ != nullptr);
  std::exchange(done_, nullptr)(std::move(result));
}

void Transfer::Stop() { Finish(Fail(Stopped(url_))); }

}  // namespace ckpt::http
