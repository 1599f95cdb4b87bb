// Redirects between servers of this machine. Names and private addresses: transfer_test.cc,
// policy_test.cc.
#include <cstdlib>

#include "tests/store/http/engine_test.h"

namespace ckpt::http {
namespace {

using testing::HasSubstr;

class FixedToken final : public Authorizer {
 public:
  Result<Headers> Authorize() override { return Headers{{"X-Token", "planted"}}; }
  bool Renew() override { return false; }
};

Request Authorized(const std::string& address) {
  Request request = Get(address);
  request.authorizer = std::make_shared<FixedToken>();
  request.headers = {{"Authorization", "planted"},
                     {"Cookie", "planted"},
                     {"X-Goog-User-Project", "planted"},
                     {"Accept", "text/x-test"}};
  return request;
}

Answer RedirectTo(const std::string& address, int status = 302) {
  return {.status = status, .headers = {{"Location", address}}};
}

TEST(HttpRedirect, LeavesCredentialsAtTheirOrigin) {
  TestServer other([](const Received&) { return Answer{.body = "there"}; });
  TestServer home([&](const Received& request) {
    return request.target == "/a" ? RedirectTo("/b") : RedirectTo(other.Address("/c?sig=x"));
  });
  ASSERT_RESULT(const Response response, MakeEngine()->Send(Authorized(home.Address("/a"))));
  EXPECT_EQ(response.body, "there");
  EXPECT_EQ(response.url.Whole().Reveal(), other.Address("/c?sig=x"));
  for (const Received& request : home.received()) {
    EXPECT_EQ(request.Header("authorization"), "planted");
    EXPECT_EQ(request.Header("x-token"), "planted");
  }
  ASSERT_EQ(other.received().size(), 1U);
  const Received request = other.received()[0];
  EXPECT_EQ(request.target, "/c?sig=x");
  EXPECT_EQ(request.Header("accept"), "text/x-test");
  for (const auto& [name, value] : request.headers) EXPECT_NE(value, "planted") << name;
}

TEST(HttpRedirect, DoesNotBringCredentialsBack) {
  std::string home_address;
  TestServer other([&](const Received&) { return RedirectTo(home_address + "end"); });
  TestServer home([&](const Received& request) {
    return request.target == "/end" ? Answer{} : RedirectTo(other.Address());
  });
  home_address = home.Address();
  ASSERT_RESULT(const Response response, MakeEngine()->Send(Authorized(home.Address("/a"))));
  EXPECT_EQ(home.received()[1].Header("authorization"), "");
  EXPECT_EQ(home.received()[1].Header("x-token"), "");
}

TEST(HttpRedirect, BeginsAtTheFirstAddressAfterABreak) {
  const std::string object = RandomText(1000, 1);
  TestServer other([&](const Received& request) {
    Answer answer = AnswerWith(object, request);
    if (request.number == 0) answer.cut_after = 400;
    return answer;
  });
  TestServer home([&](const Received&) { return RedirectTo(other.Address(), 307); });
  std::string into;
  ASSERT_RESULT(const Response response,
                MakeEngine()->Send(GetRange(home.Address(), {0, 1000}, into)));
  EXPECT_EQ(into, object);
  EXPECT_EQ(home.received().size(), 2U);
  EXPECT_EQ(other.received()[1].Header("range"), "bytes=400-999");
}

TEST(HttpRedirect, EndsALoop) {
  TestServer server([&](const Received&) { return RedirectTo("/again"); });
  const auto response = MakeEngine()->Send(Get(server.Address()));
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code, Code::kUnavailable);
  EXPECT_THAT(response.error().what, HasSubstr("more than 5 redirects"));
  EXPECT_EQ(server.received().size(), 6U);
}

TEST(HttpRedirect, IsAnAnswerToWritesAndToWhoeverWantsIt) {
  TestServer server([&](const Received&) { return RedirectTo("/again"); });
  const auto engine = MakeEngine();
  Request request = Get(server.Address());
  request.follows_redirects = false;
  ASSERT_RESULT(const Response wanted, engine->Send(request));
  EXPECT_EQ(wanted.status, 302);
  request.follows_redirects = true;
  request.method = "POST";
  ASSERT_RESULT(const Response written, engine->Send(request));
  EXPECT_EQ(written.status, 302);
  request.method = "HEAD";
  EXPECT_FAILS(Code::kUnavailable, engine->Send(request));
}

TEST(HttpRedirect, RefusesATargetWithoutTls) {
  TestServer server([&](const Received&) { return RedirectTo("http://example.invalid/"); });
  EXPECT_FAILS(Code::kUnavailable, MakeEngine()->Send(Get(server.Address())));
}

// The proxy stands for a public service; what it redirects to is on this machine, and would be
// connected to without a proxy.
TEST(HttpRedirect, RefusesPrivateTargetsOfPublicServices) {
  TestServer inner([](const Received&) { return Answer{.body = "secret"}; });
  std::string location;
  TestServer proxy([&](const Received&) { return RedirectTo(location); });
  // NOLINTBEGIN(concurrency-mt-unsafe): no other thread reads variables now
  setenv("http_proxy", proxy.Address("").c_str(), 1);
  setenv("no_proxy", "inner.test", 1);
  EngineOptions options = QuickOptions();
  options.trusted_origins = {"http://hub.test"};
  const auto engine = MakeEngine(options);
  unsetenv("http_proxy");
  unsetenv("no_proxy");
  // NOLINTEND(concurrency-mt-unsafe)
  for (const std::string& target : {inner.Address(), std::string("http://localhost:1/"),
                                    std::string("https://169.254.169.254/latest")}) {
    location = target;
    const auto response = engine->Send(Get("http://hub.test/a"));
    ASSERT_FALSE(response.has_value()) << target;
    EXPECT_EQ(response.error().code, Code::kUnavailable);
    EXPECT_THAT(response.error().what, HasSubstr("private address")) << target;
  }
  EXPECT_EQ(proxy.received()[0].target, "http://hub.test/a");
  EXPECT_TRUE(inner.received().empty());
}

}  // namespace
}  // namespace ckpt::http
