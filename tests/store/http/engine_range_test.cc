// Ranges: exact, resumed, or refused.
#include <atomic>

#include "tests/store/http/engine_test.h"

namespace ckpt::http {
namespace {

using testing::HasSubstr;

constexpr size_t kKi = 1024;

TEST(HttpRange, ReadsExactlyTheBytes) {
  const std::string object = RandomText(100'000, 1);
  TestServer server([&](const Received& request) { return AnswerWith(object, request); });
  EngineOptions options = QuickOptions();
  options.threads = 1;
  const auto engine = MakeEngine(options);
  for (const ByteRange range :
       {ByteRange{0, 1}, ByteRange{1, 4097}, ByteRange{99'999, 100'000}, ByteRange{0, 100'000}}) {
    std::string into;
    ASSERT_RESULT(const Response response, engine->Send(GetRange(server.Address(), range, into)));
    EXPECT_EQ(response.status, 206);
    EXPECT_EQ(response.total_bytes, object.size());
    EXPECT_EQ(response.body, "");
    EXPECT_EQ(into, object.substr(range.begin, range.size()));
  }
  EXPECT_EQ(server.received()[1].Header("range"), "bytes=1-4096");
  EXPECT_EQ(server.connections(), 1U);  // kept alive
}

TEST(HttpRange, GoesOnAtTheByteReached) {
  const std::string object = RandomText(1024 * kKi, 2);
  TestServer server([&](const Received& request) {
    Answer answer = AnswerWith(object, request);
    if (answer.body.size() > 64 * kKi) answer.cut_after = 64 * kKi;
    return answer;
  });
  const auto engine = MakeEngine();
  std::string into;
  ASSERT_RESULT(const Response response,
                engine->Send(GetRange(server.Address(), {0, object.size()}, into)));
  EXPECT_EQ(response.total_bytes, object.size());
  EXPECT_TRUE(into == object);
  const std::vector<Received> received = server.received();
  ASSERT_EQ(received.size(), 16U);
  EXPECT_EQ(received[15].Header("range"), "bytes=983040-1048575");
  EXPECT_EQ(engine->counts().retries.at("short body"), 15U);
  EXPECT_EQ(engine->counts().received_bytes, object.size());
}

TEST(HttpRange, TreatsAShortButCompleteAnswerAsBroken) {
  const std::string object = RandomText(1000, 3);
  TestServer server([&](const Received& request) {
    Answer answer = AnswerWith(object, request);
    if (request.number == 0) answer.body.resize(10);
    return answer;
  });
  const auto engine = MakeEngine();
  std::string into;
  ASSERT_RESULT(const Response response, engine->Send(GetRange(server.Address(), {5, 905}, into)));
  EXPECT_EQ(into, object.substr(5, 900));
  EXPECT_EQ(server.received()[1].Header("range"), "bytes=15-904");
}

TEST(HttpRange, TakesAWholeObjectOnlyWhereItIsTheRange) {
  const std::string object = RandomText(1000, 4);
  TestServer server([&](const Received&) { return Answer{.body = object}; });
  const auto engine = MakeEngine();
  std::string into;
  ASSERT_RESULT(const Response response, engine->Send(GetRange(server.Address(), {0, 1000}, into)));
  EXPECT_EQ(into, object);
  EXPECT_EQ(response.total_bytes, 1000U);
  for (const ByteRange range : {ByteRange{0, 999}, ByteRange{1, 1001}, ByteRange{0, 1001}})
    EXPECT_FAILS(Code::kBadInput, engine->Send(GetRange(server.Address(), range, into)));
  EXPECT_EQ(server.received().size(), 1U + 3 * 3);
}

TEST(HttpRange, AsksAgainAfterAWrongAnswer) {
  const std::string object = RandomText(1000, 9);
  const Answer whole{.body = object};
  const Answer other{
      .status = 206, .headers = {{"Content-Range", "bytes 1-2/3"}}, .body = object.substr(1, 2)};
  for (const Answer& wrong : {whole, other}) {
    TestServer server([&](const Received& request) {
      return request.number < 2 ? wrong : AnswerWith(object, request);
    });
    std::string into;
    ASSERT_RESULT(const Response response,
                  MakeEngine()->Send(GetRange(server.Address(), {100, 300}, into)));
    EXPECT_EQ(into, object.substr(100, 200));
    EXPECT_EQ(response.total_bytes, 1000U);
    EXPECT_EQ(server.received().size(), 3U);
  }
}

TEST(HttpRange, BeginsAnewWhereTheRestComesAsAWhole) {
  const std::string object = RandomText(1000, 5);
  TestServer server([&](const Received& request) {
    Answer answer{.body = object};
    if (request.number == 0) answer.cut_after = 300;
    return answer;
  });
  const auto engine = MakeEngine();
  std::string into;
  ASSERT_RESULT(const Response response, engine->Send(GetRange(server.Address(), {0, 1000}, into)));
  EXPECT_EQ(into, object);
}

std::string ErrorFor(const std::string& content_range, const std::string& body,
                     uint64_t total_bytes) {
  TestServer server([&](const Received&) {
    return Answer{.status = 206, .headers = {{"Content-Range", content_range}}, .body = body};
  });
  const auto engine = MakeEngine();
  std::string into;
  Request request = GetRange(server.Address("/x?sig=planted"), {10, 20}, into);
  request.total_bytes = total_bytes;
  const auto response = engine->Send(std::move(request));
  if (response) return "";
  EXPECT_EQ(response.error().code, Code::kBadInput);
  EXPECT_EQ(server.received().size(), 3U);
  EXPECT_THAT(response.error().Print(), testing::Not(HasSubstr("planted")));
  return response.error().what;
}

TEST(HttpRange, RefusesAnotherRangeThanItAskedFor) {
  const std::string body(10, 'x');
  EXPECT_EQ(ErrorFor("bytes 10-19/100", body, 100), "");
  EXPECT_EQ(ErrorFor("bytes 10-19/*", body, 100), "");
  EXPECT_THAT(ErrorFor("bytes 11-20/100", body, 0), HasSubstr("[11, 21) answered"));
  EXPECT_THAT(ErrorFor("bytes 10-18/100", body, 0), HasSubstr("answered"));
  EXPECT_THAT(ErrorFor("rows 1-2", body, 0), HasSubstr("without a Content-Range"));
  EXPECT_THAT(ErrorFor("bytes 10-19/101", body, 100), HasSubstr("has 101 bytes, 100 expected"));
  EXPECT_THAT(ErrorFor("bytes 10-19/100", body + "x", 0), HasSubstr("more bytes announced"));
}

TEST(HttpRange, NoticesAnotherTotalWhenItGoesOn) {
  const std::string object = RandomText(1000, 6);
  TestServer server([&](const Received& request) {
    Answer answer = AnswerWith(request.number == 0 ? object : object + "longer", request);
    if (request.number == 0) answer.cut_after = 10;
    return answer;
  });
  std::string into;
  const auto response = MakeEngine()->Send(GetRange(server.Address(), {0, 500}, into));
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code, Code::kBadInput);
}

TEST(HttpRange, HandsOutOtherStatusesWithTheirBody) {
  const std::string object = RandomText(10, 7);
  TestServer server([&](const Received& request) {
    if (request.target == "/missing") return Answer{.status = 404, .body = "no such object"};
    return AnswerWith(object, request);
  });
  const auto engine = MakeEngine();
  std::string into;
  ASSERT_RESULT(const Response missing,
                engine->Send(GetRange(server.Address("/missing"), {0, 5}, into)));
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.body, "no such object");
  ASSERT_RESULT(const Response beyond, engine->Send(GetRange(server.Address(), {5, 15}, into)));
  EXPECT_EQ(beyond.status, 416);
  EXPECT_EQ(beyond.total_bytes, 10U);
}

TEST(HttpBody, IsLimited) {
  TestServer server([&](const Received& request) {
    return Answer{.status = request.target == "/error" ? 404 : 200,
                  .body = std::string(200'000, 'x')};
  });
  const auto engine = MakeEngine();
  Request request = Get(server.Address());
  request.body_limit_bytes = 199'999;
  EXPECT_FAILS(Code::kBadInput, engine->Send(request));
  request.body_limit_bytes = 200'000;
  ASSERT_RESULT(const Response whole, engine->Send(request));
  EXPECT_EQ(whole.body.size(), 200'000U);
  EXPECT_EQ(whole.total_bytes, 200'000U);
  ASSERT_RESULT(const Response error, engine->Send(Get(server.Address("/error"))));
  EXPECT_EQ(error.status, 404);
  EXPECT_EQ(error.body.size(), 65'536U);
}

TEST(HttpBody, BeginsAnewAfterACut) {
  TestServer server([](const Received& request) {
    Answer answer{.body = "0123456789"};
    if (request.number < 3) answer.cut_after = 4;
    return answer;
  });
  ASSERT_RESULT(const Response response, MakeEngine()->Send(Get(server.Address())));
  EXPECT_EQ(response.body, "0123456789");
}

TEST(HttpBody, IsSentAsItIs) {
  TestServer server([](const Received&) { return Answer{}; });
  const auto engine = MakeEngine();
  const std::string body = RandomText(3'000'000, 8);
  for (const char* method : {"PUT", "POST", "PATCH"}) {
    Request request = Get(server.Address("/o"));
    request.method = method;
    request.body = BytesOf(body);
    request.headers = {{"X-Empty", ""}, {"Content-Type", "application/x-test"}};
    ASSERT_RESULT(const Response response, engine->Send(std::move(request)));
  }
  for (const char* method : {"POST", "PUT", "DELETE", "HEAD"}) {
    Request request = Get(server.Address("/p"));
    request.method = method;
    ASSERT_RESULT(const Response response, engine->Send(std::move(request)));
  }
  const std::vector<Received> received = server.received();
  ASSERT_EQ(received.size(), 7U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(received[i].body == body);
    EXPECT_EQ(received[i].Header("content-type"), "application/x-test");
    EXPECT_EQ(received[i].Header("expect"), "");
  }
  EXPECT_EQ(received[3].Header("content-length"), "0");
  EXPECT_EQ(received[3].headers.count("content-type"), 0U);
  EXPECT_EQ(received[4].Header("content-length"), "0");
  EXPECT_EQ(received[5].method, "DELETE");
  EXPECT_EQ(received[6].method, "HEAD");
  const Counts counts = engine->counts();
  EXPECT_EQ(counts.sent_bytes, 3 * body.size());
  EXPECT_EQ(counts.requests, 7U);
  EXPECT_EQ(counts.requests_by_method.at("PUT"), 2U);
}

TEST(HttpBody, OfAHeadIsNotWaitedFor) {
  TestServer server([](const Received&) { return Answer{.announced_bytes = 1'234'567}; });
  Request request = Get(server.Address());
  request.method = "HEAD";
  ASSERT_RESULT(const Response response, MakeEngine()->Send(std::move(request)));
  EXPECT_EQ(response.total_bytes, 1'234'567U);
}

TEST(HttpRange, ServesManySideBySide) {
  const std::string object = RandomText(400'000, 9);
  TestServer server([&](const Received& request) {
    Answer answer = AnswerWith(object, request);
    if (request.number % 7 == 3) answer.cut_after = answer.body.size() / 2;
    if (request.number % 11 == 5) answer.is_hang_up = true;
    return answer;
  });
  EngineOptions options = QuickOptions();
  options.connections = 8;
  const auto engine = MakeEngine(options);
  std::vector<std::string> parts(400);
  std::vector<std::future<Result<Response>>> answers;
  for (size_t i = 0; i < parts.size(); ++i)
    answers.push_back(
        engine->Start(GetRange(server.Address(), {i * 1000, (i + 1) * 1000}, parts[i])));
  std::string joined;
  for (size_t i = 0; i < parts.size(); ++i) {
    ASSERT_RESULT(const Response response, answers[i].get());
    joined += parts[i];
  }
  EXPECT_TRUE(joined == object);
}

}  // namespace
}  // namespace ckpt::http
