#include "store/http/loop.h"

#include <curl/curl.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace ckpt::http {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kIdleWaitMs = 60'000;  // somebody wakes us before
constexpr int kStallCheckMs = 250;

Pacer::Verdict VerdictOf(const Step& step, int status) {
  if (status == 429 || status == 503) return Pacer::Verdict::kTooMany;
  const bool is_redirect = step.kind == Step::Kind::kSend;
  const bool is_answer =
      step.kind == Step::Kind::kFinish && step.result && step.result->has_value();
  return is_redirect || is_answer ? Pacer::Verdict::kSuccess : Pacer::Verdict::kNeutral;
}

}  // namespace

Result<std::unique_ptr<Loop>> Loop::Make(Context context, unsigned connections) {
  CURLM* multi = curl_multi_init();
  if (multi == nullptr)
    return Fail(Code::kResources, "no memory for connections", "allow more memory");
  std::unique_ptr<Loop> loop(
      // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): private constructor
      new Loop(std::move(context), multi, std::max(connections, 1U)));
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  // Kept connections: those in use, and as many to other origins.
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(2 * loop->connections_));
  return loop;
}

Loop::Loop(Context context, void* multi, unsigned connections)
    : context_(std::move(context)), multi_(multi), connections_(connections) {}

Loop::~Loop() {
  CKPT_CHECK(active_.empty());
  idle_.clear();
  curl_multi_cleanup(multi_);
}

void Loop::Wake() { curl_multi_wakeup(multi_); }

void Loop::Run() {
  while (true) {
    const bool is_over = context_.is_over();  // before the last look at the queue
    if (context_.has_stop()) EndStopped();
    if (is_over) return;
    // One a round, so that the threads share what comes together.
    const bool has_taken = TakeOne();
    int running = 0;
    curl_multi_perform(multi_, &running);
    EndCompleted();
    EndStalled();
    if (!has_taken) curl_multi_poll(multi_, nullptr, 0, WaitMs(), nullptr);
  }
}

int Loop::WaitMs() const {
  int64_t wait = active_.empty() && !context_.has_stop() ? kIdleWaitMs : kStallCheckMs;
  const auto due = context_.queue.NextDue();
  if (due && active_.size() < connections_) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - Clock::now()).count();
    wait = std::clamp<int64_t>(left, 0, wait);
  }
  return static_cast<int>(wait);
}

void Loop::EndStopped() {
  std::vector<std::unique_ptr<Transfer>> stopped = context_.queue.TakeIf(context_.is_stopped);
  for (auto next = active_.begin(); next != active_.end();) {
    auto& [handle, active] = *next;
    if (!context_.is_stopped(*active.transfer)) {
      ++next;
      continue;
    }
    curl_multi_remove_handle(multi_, handle);
    const Ending ending = active.exchange->End(CURLE_ABORTED_BY_CALLBACK);
    context_.tally.AddBytes(active.transfer->received_bytes(), ending.sent_bytes);
    context_.queue.Release(active.origin, Pacer::Verdict::kNeutral, active.begun, Clock::now());
    stopped.push_back(std::move(active.transfer));
    next = active_.erase(next);
  }
  for (auto& transfer : stopped) transfer->Stop();
}

bool Loop::TakeOne() {
  if (active_.size() >= connections_) return false;
  std::unique_ptr<Transfer> transfer = context_.queue.Take(Clock::now());
  if (!transfer) return false;
  Begin(std::move(transfer));
  return true;
}

void Loop::Begin(std::unique_ptr<Transfer> transfer) {
  const Time now = Clock::now();
  const Url url = transfer->url();
  const auto give_up = [&](Error error) {
    context_.queue.Release(url.Origin(), Pacer::Verdict::kNeutral, now, now);
    error.where.push_back({"address", url.Print()});
    transfer->Finish(Fail(std::move(error)));
  };
  if (idle_.empty()) {
    const EngineOptions& options = context_.options;
    auto made = Exchange::Make({options.ca_bundle, options.connect_timeout, options.stall});
    if (!made) return give_up(std::move(made).error());
    idle_.push_back(*std::move(made));
  }
  std::unique_ptr<Exchange> exchange = std::move(idle_.back());
  idle_.pop_back();
  Sending sending = transfer->NextTry(now);
  context_.tally.AddTry(sending.method);
  Result<void> begun = exchange->Begin(std::move(sending), context_.proxies.For(url), *transfer);
  if (!begun) return give_up(std::move(begun).error());
  void* handle = exchange->handle();
  CKPT_CHECK(curl_multi_add_handle(multi_, handle) == CURLM_OK);
  active_.emplace(handle, Active{std::move(transfer), std::move(exchange), url.Origin(), now});
}

void Loop::EndCompleted() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    const auto active = active_.find(message->easy_handle);
    CKPT_CHECK(active != active_.end());
    End(active, code, false);  // `message` is gone with the handle
  }
}

void Loop::EndStalled() {
  const Time now = Clock::now();
  for (auto active = active_.begin(); active != active_.end();) {
    const auto next = std::next(active);
    if (active->second.exchange->IsStalled(now)) End(active, CURLE_OPERATION_TIMEDOUT, true);
    active = next;
  }
}

void Loop::End(std::map<void*, Active>::iterator active, int curl_code, bool is_stalled) {
  curl_multi_remove_handle(multi_, active->first);
  Active ended = std::move(active->second);
  active_.erase(active);
  Ending ending = ended.exchange->End(curl_code);
  if (is_stalled) {
    ending.kind = Ending::Kind::kStall;
    ending.words = "too slow for too long";
  }
  // A handle whose try broke off may keep buffers that refuse the next settings.
  if (ending.kind == Ending::Kind::kWhole) idle_.push_back(std::move(ended.exchange));

  const Time now = Clock::now();
  const int64_t unix_seconds = std::chrono::duration_cast<std::chrono::seconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count();
  context_.tally.AddBytes(ended.transfer->received_bytes(), ending.sent_bytes);
  const double chance = std::uniform_real_distribution<double>(0, 1)(random_);
  const int status = ended.transfer->status();
  Step step = ended.transfer->OnEnd(ending, {now, unix_seconds, chance});
  if (!step.retry_key.empty()) context_.tally.AddRetry(step.retry_key);
  context_.queue.Release(ended.origin, VerdictOf(step, status), ended.begun, now);
  Follow(std::move(ended.transfer), std::move(step), now);
}

void Loop::Follow(std::unique_ptr<Transfer> transfer, Step step, Time now) {
  switch (step.kind) {
    case Step::Kind::kFinish:
      transfer->Finish(*std::move(step.result));
      return;
    case Step::Kind::kSend:
      return context_.queue.Add(std::move(transfer));
    case Step::Kind::kSendLater:
      return context_.queue.AddAt(std::move(transfer), now + step.delay);
    case Step::Kind::kRenew:
      return context_.queue.AddForRenewal(std::move(transfer));
  }
}

}  // namespace ckpt::http
