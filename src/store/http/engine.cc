#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>
#include <utility>

#include "base/check.h"
#include "store/http/credential_desk.h"
#include "store/http/http.h"
#include "store/http/loop.h"
#include "store/http/quiet_thread.h"

namespace ckpt::http {
namespace {

std::optional<std::string> ProcessVariable(const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets variables once threads run
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

std::string CaBundle(std::string chosen) {
  for (const char* name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE"}) {
    if (chosen.empty()) chosen = ProcessVariable(name).value_or("");
  }
  return chosen;
}

// What the threads share. They own it together with the engine: an engine whose last owner is a
// callback on one of its own threads cannot join that thread, which then ends by itself.
class EngineState {
 public:
  EngineState(EngineOptions options, Origins origins)
      : options_(std::move(options)),
        origins_(std::move(origins)),
        proxies_(Proxies::Read(ProcessVariable)),
        queue_(options_.connections,
               {[this] { Wake(); }, [this](CredentialJob job) { desk_.Post(std::move(job)); }}) {}

  Result<void> AddLoops() {
    const unsigned threads = std::clamp(options_.threads, 1U, std::max(options_.connections, 1U));
    for (unsigned i = 0; i < threads; ++i) {
      const unsigned share = options_.connections / threads + (i < options_.connections % threads);
      CKPT_TRY(std::unique_ptr<Loop> loop,
               Loop::Make({options_, proxies_, queue_, tally_, [this] { return HasStop(); },
                           [this](const Transfer& transfer) { return IsStopped(transfer); },
                           [this] { return is_over_.load(); }},
                          share));
      loops_.push_back(std::move(loop));
    }
    return {};
  }

  const EngineOptions& options() const { return options_; }
  const Tally& tally() const { return tally_; }
  const std::vector<std::unique_ptr<Loop>>& loops() const { return loops_; }

  void Start(Request request, Done done) {
    if (Result<void> checked = origins_.CheckFirst(request.url); !checked)
      return done(Fail(std::move(checked).error()));
    auto transfer =
        std::make_unique<Transfer>(std::move(request), std::move(done), options_, origins_);
    if (options_.stop.stop_requested()) transfer->MarkLate();
    queue_.Add(std::move(transfer));
  }

  // An authorizer may wait for a request of its own; so the loops go on, answering everything with
  // kInterrupted, until the desk is closed.
  void ServeDesk() {
    desk_.Serve(queue_);
    is_over_ = true;
    Wake();
  }
  void End() {
    is_ending_ = true;
    desk_.End();
    Wake();
  }
  void Stop() {
    stopped_ = std::chrono::steady_clock::now();
    Wake();
  }
  void Wake() {
    for (const auto& loop : loops_) loop->Wake();
  }

 private:
  bool HasStop() const { return is_ending_ || options_.stop.stop_requested(); }
  bool IsStopped(const Transfer& transfer) const {
    if (is_ending_) return true;
    if (!options_.stop.stop_requested()) return false;
    return !transfer.is_late() ||
           std::chrono::steady_clock::now() >= stopped_.load() + options_.grace;
  }

  const EngineOptions options_;
  const Origins origins_;
  const Proxies proxies_;
  Tally tally_;
  std::atomic<bool> is_ending_ = false;
  std::atomic<bool> is_over_ = false;
  // When the stop came. Before it is known, late transfers are not spared; none is there then.
  std::atomic<std::chrono::steady_clock::time_point> stopped_{};
  CredentialDesk desk_;
  TransferQueue queue_;
  std::vector<std::unique_ptr<Loop>> loops_;  // all there before the first thread
};

class CurlEngine final : public Engine {
 public:
  explicit CurlEngine(std::shared_ptr<EngineState> state)
      : state_(std::move(state)),
        on_stop_(state_->options().stop, [raw = state_.get()] { raw->Stop(); }) {}
  CurlEngine(const CurlEngine&) = delete;
  CurlEngine& operator=(const CurlEngine&) = delete;

  ~CurlEngine() override {
    state_->End();
    const bool is_own_thread = std::ranges::any_of(threads_, [](const std::thread& thread) {
      return thread.get_id() == std::this_thread::get_id();
    });
    for (std::thread& thread : threads_) is_own_thread ? thread.detach() : thread.join();
  }

  Result<void> StartThreads() {
    Result<std::thread> desk = StartQuietThread([state = state_] { state->ServeDesk(); });
    if (!desk) return Fail(std::move(desk).error());
    threads_.push_back(*std::move(desk));
    for (const auto& loop : state_->loops()) {
      Result<std::thread> thread =
          StartQuietThread([state = state_, raw = loop.get()] { raw->Run(); });
      if (!thread) return Fail(std::move(thread).error());
      threads_.push_back(*std::move(thread));
    }
    return {};
  }

  void Start(Request request, Done done) override {
    state_->Start(std::move(request), std::move(done));
  }
  Counts counts() const override { return state_->tally().counts(); }
  const EngineOptions& options() const override { return state_->options(); }

 private:
  const std::shared_ptr<EngineState> state_;
  std::stop_callback<std::function<void()>> on_stop_;
  std::vector<std::thread> threads_;
};

}  // namespace

Result<std::shared_ptr<Engine>> Engine::Make(EngineOptions options) {
  // Once for the process, and never undone: other users of libcurl may exist.
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialized != CURLE_OK)
    return Fail(Code::kResources, "libcurl cannot be initialized", "allow more memory");
  CKPT_TRY(Origins origins, Origins::Trust(options.trusted_origins));
  options.ca_bundle = CaBundle(std::move(options.ca_bundle));
  options.connections = std::max(options.connections, 1U);
  auto state = std::make_shared<EngineState>(std::move(options), std::move(origins));
  CKPT_TRY_VOID(state->AddLoops());
  auto engine = std::make_shared<CurlEngine>(std::move(state));
  CKPT_TRY_VOID(engine->StartThreads());
  return engine;
}

std::future<Result<Response>> Engine::Start(Request request) {
  // Shared, because a std::function must be copyable.
  auto promise = std::make_shared<std::promise<Result<Response>>>();
  std::future<Result<Response>> future = promise->get_future();
  Start(std::move(request),
        [promise](Result<Response> result) { promise->set_value(std::move(result)); });
  return future;
}

}  // namespace ckpt::http
