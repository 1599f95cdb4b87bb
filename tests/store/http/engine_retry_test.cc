// What is tried again, what is not, and what the errors say.
#include <chrono>

#include "tests/store/http/engine_test.h"

namespace ckpt::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(HttpRetry, OutlastsAStormOfStatuses) {
  const std::vector<int> storm = {408, 429, 500, 502, 503, 504, 507};
  TestServer server([&](const Received& request) {
    if (request.number < storm.size()) return Answer{.status = storm[request.number]};
    return Answer{.body = "calm"};
  });
  const auto engine = MakeEngine();
  ASSERT_RESULT(const Response response, engine->Send(Get(server.Address())));
  EXPECT_EQ(response.body, "calm");
  const Counts counts = engine->counts();
  EXPECT_EQ(counts.requests, storm.size() + 1);
  for (const int status : storm)
    EXPECT_EQ(counts.retries.at("status " + std::to_string(status)), 1U) << status;
}

TEST(HttpRetry, WaitsAsLongAsTheServiceAsks) {
  TestServer server([](const Received& request) {
    if (request.number == 0) return Answer{.status = 503, .headers = {{"Retry-After", "1"}}};
    return Answer{};
  });
  const auto engine = MakeEngine();
  const auto begun = steady_clock::now();
  ASSERT_RESULT(const Response response, engine->Send(Get(server.Address())));
  EXPECT_GE(steady_clock::now() - begun, milliseconds(1000));
}

TEST(HttpRetry, GivesUpAtOnceWhereTheServiceAsksForMoreThanTheDeadline) {
  TestServer server([](const Received&) {
    return Answer{.status = 429, .headers = {{"RateLimit", "\"api\";r=0;t=300"}}};
  });
  const auto response = MakeEngine()->Send(Get(server.Address("/a?token=planted")));
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code, Code::kTemporary);
  EXPECT_THAT(response.error().Print(),
              AllOf(HasSubstr("429"), HasSubstr("5:00"), HasSubstr("after one try"),
                    HasSubstr("/a?[redacted]"), Not(HasSubstr("planted"))));
}

TEST(HttpRetry, EndsAtTheDeadlineWithTheTriesMade) {
  TestServer server([](const Received&) { return Answer{.status = 502, .body = "planted"}; });
  EngineOptions options = QuickOptions();
  options.deadline = milliseconds(100);
  const auto response = MakeEngine(options)->Send(Get(server.Address()));
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code, Code::kUnavailable);
  const size_t tries = server.received().size();
  EXPECT_GT(tries, 3U);
  EXPECT_THAT(response.error().what, HasSubstr("after " + std::to_string(tries) + " tries"));
}

TEST(HttpRetry, HandsOutStatusesToWhoeverWantsThem) {
  TestServer server([](const Received&) { return Answer{.status = 503}; });
  Request request = Get(server.Address());
  request.retries_statuses = false;
  ASSERT_RESULT(const Response response, MakeEngine()->Send(std::move(request)));
  EXPECT_EQ(response.status, 503);
}

TEST(HttpRetry, DoesNotRepeatWhatIsNoPass) {
  TestServer server([](const Received& request) {
    return Answer{.status = std::stoi(request.target.substr(1)), .body = "why"};
  });
  const auto engine = MakeEngine();
  for (const int status : {400, 401, 403, 404, 409, 412, 418}) {
    ASSERT_RESULT(const Response response,
                  engine->Send(Get(server.Address("/" + std::to_string(status)))));
    EXPECT_EQ(response.status, status);
    EXPECT_EQ(response.body, "why");
  }
  EXPECT_EQ(server.received().size(), 7U);
}

TEST(HttpRetry, SparesRequestsThatMayHaveTakenEffect) {
  TestServer server([](const Received& request) {
    if (request.target == "/hang-up") return Answer{.is_hang_up = true};
    if (request.target == "/error") return Answer{.status = 500};
    if (request.number % 2 == 0 && request.target == "/busy")
      return Answer{.status = 503, .headers = {{"Retry-After", "0"}}};
    if (request.number % 2 == 0 && request.target == "/limit") return Answer{.status = 429};
    return Answer{};
  });
  const auto engine = MakeEngine();
  const auto post = [&](const std::string& path) {
    Request request = Get(server.Address(path));
    request.method = "POST";
    request.is_repeatable = false;
    return engine->Send(std::move(request));
  };
  ASSERT_RESULT(const Response busy, post("/busy"));
  ASSERT_RESULT(const Response limit, post("/limit"));
  EXPECT_EQ(server.received().size(), 4U);
  for (const char* path : {"/hang-up", "/error"}) {
    const auto response = post(path);
    ASSERT_FALSE(response.has_value()) << path;
    EXPECT_EQ(response.error().code, Code::kUnavailable);
    EXPECT_THAT(response.error().what, HasSubstr("may have taken effect"));
  }
  EXPECT_EQ(server.received().size(), 6U);
}

TEST(HttpRetry, RepeatsAfterAHangUp) {
  TestServer server(
      [](const Received& request) { return Answer{.is_hang_up = request.number < 3}; });
  const auto engine = MakeEngine();
  ASSERT_RESULT(const Response response, engine->Send(Get(server.Address())));
  EXPECT_EQ(engine->counts().retries.at("connection"), 3U);
}

TEST(HttpRetry, NoticesAStall) {
  const std::string object = RandomText(100'000, 1);
  TestServer server([&](const Received& request) {
    Answer answer = AnswerWith(object, request);
    answer.is_stalled = request.number == 0;
    if (answer.is_stalled) answer.cut_after = 50'000;
    return answer;
  });
  EngineOptions options = QuickOptions();
  options.stall = std::chrono::seconds(1);
  const auto engine = MakeEngine(options);
  std::string into;
  ASSERT_RESULT(const Response response,
                engine->Send(GetRange(server.Address(), {0, 100'000}, into)));
  EXPECT_TRUE(into == object);
  EXPECT_EQ(engine->counts().retries.at("stall"), 1U);
  EXPECT_EQ(server.received()[1].Header("range"), "bytes=50000-99999");
}

TEST(HttpRetry, SaysThatAServiceIsDown) {
  std::string address;
  {
    TestServer server([](const Received&) { return Answer{}; });
    address = server.Address("/a?sig=planted");
  }
  EngineOptions options = QuickOptions();
  options.deadline = milliseconds(50);
  const auto response = MakeEngine(options)->Send(Get(address));
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code, Code::kUnavailable);
  EXPECT_THAT(response.error().Print(),
              AllOf(HasSubstr("no connection"), HasSubstr("refused"), HasSubstr("tries"),
                    HasSubstr("service is up"), Not(HasSubstr("planted"))));
}

TEST(HttpRetry, SaysThatANameHasNoAddress) {
  const auto response = MakeEngine()->Send(Get("https://no-such-host.invalid/a?sig=planted"));
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code, Code::kUnavailable);
  EXPECT_THAT(response.error().Print(),
              AllOf(HasSubstr("no address"), HasSubstr("5 tries"),
                    HasSubstr("check the host's name"), Not(HasSubstr("planted"))));
}

TEST(HttpRetry, RefusesPlainHttpBeforeAnythingIsSent) {
  EXPECT_FAILS(Code::kUsage, MakeEngine()->Send(Get("http://example.invalid/")));
}

TEST(HttpRetry, RefusesLineBreaksInHeaders) {
  Request request = Get("http://127.0.0.1:1/");
  request.headers = {{"Authorization", "planted\r\nX: y"}};
  const auto response = MakeEngine()->Send(std::move(request));
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code, Code::kUsage);
  EXPECT_THAT(response.error().Print(), Not(HasSubstr("planted")));
}

}  // namespace
}  // namespace ckpt::http
