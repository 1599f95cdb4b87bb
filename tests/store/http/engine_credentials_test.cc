#include <atomic>

#include "tests/store/http/engine_test.h"

namespace ckpt::http {
namespace {

using testing::HasSubstr;

// Hands out "token 0", and another one after each renewal.
class Tokens final : public Authorizer {
 public:
  explicit Tokens(unsigned most_renewals) : most_renewals_(most_renewals) {}
  Result<Headers> Authorize() override {
    return Headers{{"Authorization", "token " + std::to_string(renewals_.load())}};
  }
  bool Renew() override {
    if (renewals_ == most_renewals_) return false;
    ++renewals_;
    return true;
  }
  unsigned renewals() const { return renewals_; }

 private:
  const unsigned most_renewals_;
  std::atomic<unsigned> renewals_ = 0;
};

Answer AnswerTo(const Received& request, const std::string& token) {
  if (request.Header("authorization") == token) return Answer{.body = "welcome"};
  return Answer{.status = 401, .body = "who are you?"};
}

TEST(HttpCredentials, AreRenewedOnceAfterARefusal) {
  TestServer server([](const Received& request) { return AnswerTo(request, "token 1"); });
  const auto tokens = std::make_shared<Tokens>(9);
  Request request = Get(server.Address());
  request.authorizer = tokens;
  ASSERT_RESULT(const Response response, MakeEngine()->Send(std::move(request)));
  EXPECT_EQ(response.body, "welcome");
  EXPECT_EQ(tokens->renewals(), 1U);
}

TEST(HttpCredentials, ThatStayRefusedAreTheAnswer) {
  TestServer server([](const Received& request) { return AnswerTo(request, "token 7"); });
  const auto engine = MakeEngine();
  for (const unsigned most_renewals : {0U, 9U}) {
    const auto tokens = std::make_shared<Tokens>(most_renewals);
    Request request = Get(server.Address());
    request.authorizer = tokens;
    ASSERT_RESULT(const Response response, engine->Send(std::move(request)));
    EXPECT_EQ(response.status, 401);
    EXPECT_EQ(response.body, "who are you?");
    EXPECT_EQ(tokens->renewals(), std::min(most_renewals, 1U));
  }
  EXPECT_EQ(server.received().size(), 3U);
}

TEST(HttpCredentials, AreRenewedOnceForManyThatWereRefusedTogether) {
  TestServer server([](const Received& request) {
    Answer answer = AnswerTo(request, "token 1");
    answer.delay = std::chrono::milliseconds(20);
    return answer;
  });
  const auto tokens = std::make_shared<Tokens>(9);
  const auto engine = MakeEngine();
  std::vector<std::future<Result<Response>>> answers;
  for (int i = 0; i < 8; ++i) {
    Request request = Get(server.Address());
    request.authorizer = tokens;
    answers.push_back(engine->Start(std::move(request)));
  }
  for (auto& answer : answers) {
    ASSERT_RESULT(const Response response, answer.get());
    EXPECT_EQ(response.status, 200);
  }
  EXPECT_EQ(tokens->renewals(), 1U);
}

TEST(HttpCredentials, WithoutAnAuthorizerA401IsTheAnswer) {
  TestServer server([](const Received&) { return Answer{.status = 401}; });
  ASSERT_RESULT(const Response response, MakeEngine()->Send(Get(server.Address())));
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(server.received().size(), 1U);
}

class Missing final : public Authorizer {
 public:
  Result<Headers> Authorize() override { return Fail(Code::kNoCredential, "no token", "give one"); }
  bool Renew() override { return false; }
};

TEST(HttpCredentials, ThatAreMissingEndTheRequestUnsent) {
  TestServer server([](const Received&) { return Answer{}; });
  Request request = Get(server.Address());
  request.authorizer = std::make_shared<Missing>();
  EXPECT_FAILS(Code::kNoCredential, MakeEngine()->Send(std::move(request)));
  EXPECT_TRUE(server.received().empty());
}

// As the token services do: the credentials of one service come from another, by the same engine.
class Fetched final : public Authorizer {
 public:
  Fetched(std::shared_ptr<Engine> engine, std::string address)
      : engine_(std::move(engine)), address_(std::move(address)) {}
  Result<Headers> Authorize() override {
    CKPT_TRY(const Response response, engine_->Send(Get(address_)));
    return Headers{{"Authorization", response.body}};
  }
  bool Renew() override { return true; }

 private:
  const std::shared_ptr<Engine> engine_;
  const std::string address_;
};

TEST(HttpCredentials, MayComeFromTheSameEngine) {
  TestServer server([](const Received& request) {
    if (request.target == "/token") return Answer{.body = "token 3"};
    return AnswerTo(request, "token 3");
  });
  EngineOptions options = QuickOptions();
  options.connections = 1;
  auto engine = MakeEngine(options);
  Request request = Get(server.Address());
  request.authorizer = std::make_shared<Fetched>(engine, server.Address("/token"));
  // The request then owns the last reference to the engine, and ends on one of its threads.
  auto answer = engine->Start(std::move(request));
  engine.reset();
  ASSERT_RESULT(const Response response, answer.get());
  EXPECT_EQ(response.body, "welcome");
}

}  // namespace
}  // namespace ckpt::http
