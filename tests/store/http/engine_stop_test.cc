// A stop, and the engine's end, leave nobody waiting.
#include <chrono>

#include "tests/store/http/engine_test.h"

namespace ckpt::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

Answer Silence() { return {.body = "x", .cut_after = 0, .is_stalled = true}; }

// One of each kind: on the wire, in the queue, before its next try, waiting for credentials.
class Blocked final : public Authorizer {
 public:
  Result<Headers> Authorize() override {
    const std::unique_lock lock(mutex_);
    return Headers{};
  }
  bool Renew() override { return false; }
  std::mutex& mutex() { return mutex_; }

 private:
  std::mutex mutex_;
};

std::vector<std::future<Result<Response>>> StartOfEachKind(
    Engine& engine, const TestServer& server, const std::shared_ptr<Authorizer>& blocked) {
  std::vector<std::future<Result<Response>>> answers;
  answers.push_back(engine.Start(Get(server.Address("/busy"))));
  for (int i = 0; i < 20; ++i) answers.push_back(engine.Start(Get(server.Address("/silent"))));
  Request request = Get(server.Address());
  request.authorizer = blocked;
  answers.push_back(engine.Start(std::move(request)));
  // The busy one, and as many silent ones as there may be at once after a 503.
  while (server.received().size() < 3) std::this_thread::sleep_for(milliseconds(1));
  return answers;
}

Answer BusyOrSilent(const Received& request) {
  if (request.target == "/busy") return {.status = 503, .headers = {{"Retry-After", "60"}}};
  return Silence();
}

EngineOptions StopOptions() {
  EngineOptions options = QuickOptions();
  options.connections = 4;
  options.deadline = seconds(600);
  return options;
}

TEST(HttpStop, EndsWhateverIsUnderWay) {
  TestServer server(BusyOrSilent);
  std::stop_source stop;
  EngineOptions options = StopOptions();
  options.stop = stop.get_token();
  const auto engine = MakeEngine(options);
  const auto blocked = std::make_shared<Blocked>();
  const std::unique_lock lock(blocked->mutex());
  auto answers = StartOfEachKind(*engine, server, blocked);
  const auto begun = steady_clock::now();
  stop.request_stop();
  for (auto& answer : answers) EXPECT_FAILS(Code::kInterrupted, answer.get());
  EXPECT_LT(steady_clock::now() - begun, seconds(1));
}

TEST(HttpStop, LeavesTimeToTidyUp) {
  TestServer server([](const Received& request) {
    return request.target == "/silent" ? Silence() : Answer{.body = "gone"};
  });
  std::stop_source stop;
  EngineOptions options = StopOptions();
  options.stop = stop.get_token();
  options.grace = milliseconds(500);
  const auto engine = MakeEngine(options);
  stop.request_stop();
  const auto begun = steady_clock::now();
  const auto answer = engine->Send(Get(server.Address("/late")));
  ASSERT_TRUE(answer) << answer.error().Print();
  EXPECT_EQ(answer->body, "gone");
  EXPECT_FAILS(Code::kInterrupted, engine->Send(Get(server.Address("/silent"))));
  EXPECT_LT(steady_clock::now() - begun, seconds(3));
  EXPECT_FAILS(Code::kInterrupted, engine->Send(Get(server.Address("/late"))));
}

TEST(HttpStop, ComesWithTheEnginesEnd) {
  TestServer server(BusyOrSilent);
  auto engine = MakeEngine(StopOptions());
  auto answers = StartOfEachKind(*engine, server, std::make_shared<Blocked>());
  const auto begun = steady_clock::now();
  engine.reset();
  for (auto& answer : answers) EXPECT_FAILS(Code::kInterrupted, answer.get());
  EXPECT_LT(steady_clock::now() - begun, seconds(1));
}

TEST(HttpStop, EndsAnUpload) {
  TestServer server([](const Received&) { return Silence(); });
  std::string body;
  body.resize(50'000'000, 'x');
  Request request = Get(server.Address());
  request.method = "PUT";
  request.body = BytesOf(body);
  auto engine = MakeEngine();
  auto answer = engine->Start(std::move(request));
  engine.reset();
  EXPECT_FAILS(Code::kInterrupted, answer.get());
}

TEST(HttpEngine, ChecksItsOptions) {
  EngineOptions options;
  options.trusted_origins = {"minio:9000"};
  EXPECT_FAILS(Code::kUsage, Engine::Make(options));
}

TEST(HttpEngine, WorksWithAnyNumberOfThreads) {
  TestServer server([](const Received&) { return Answer{.body = "x"}; });
  for (const auto& [threads, connections] : {std::pair{0U, 0U}, {1U, 1U}, {4U, 2U}, {3U, 7U}}) {
    EngineOptions options = QuickOptions();
    options.threads = threads;
    options.connections = connections;
    const auto engine = MakeEngine(options);
    std::vector<std::future<Result<Response>>> answers;
    answers.reserve(20);
    for (int i = 0; i < 20; ++i) answers.push_back(engine->Start(Get(server.Address())));
    for (auto& answer : answers) {
      ASSERT_RESULT(const Response response, answer.get());
      EXPECT_EQ(response.body, "x");
    }
  }
}

TEST(HttpEngine, SendsLessAtOnceToAServiceThatHasEnough) {
  std::atomic<unsigned> at_once = 0;
  std::atomic<unsigned> most_late = 0;
  TestServer server([&](const Received& request) {
    const unsigned now = ++at_once;
    if (request.number >= 60) most_late = std::max(most_late.load(), now);
    std::this_thread::sleep_for(milliseconds(2));
    --at_once;
    return Answer{.status = request.number < 60 ? 429 : 200};
  });
  EngineOptions options = QuickOptions();
  options.connections = 16;
  const auto engine = MakeEngine(options);
  std::vector<std::future<Result<Response>>> answers;
  answers.reserve(32);
  for (int i = 0; i < 32; ++i) answers.push_back(engine->Start(Get(server.Address())));
  for (auto& answer : answers) {
    ASSERT_RESULT(const Response response, answer.get());
  }
  EXPECT_LE(most_late, 8U);
}

}  // namespace
}  // namespace ckpt::http
