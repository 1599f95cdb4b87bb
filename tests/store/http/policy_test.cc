// The pure parts: when to try again, whom to trust, how many at once.
#include <curl/curl.h>

#include "store/http/address.h"
#include "store/http/ending_kind.h"
#include "store/http/headers.h"
#include "store/http/origins.h"
#include "store/http/pacer.h"
#include "store/http/proxy.h"
#include "store/http/retry.h"
#include "tests/store/store_test.h"

namespace ckpt::http {
namespace {

using std::chrono::seconds;

TEST(RetryPolicy, RetriesTheStatusesThatPass) {
  for (const int status : {408, 429, 500, 501, 502, 503, 504, 599})
    EXPECT_TRUE(IsRetriableStatus(status)) << status;
  for (const int status : {200, 206, 302, 400, 401, 403, 404, 409, 412, 416})
    EXPECT_FALSE(IsRetriableStatus(status)) << status;
}

TEST(RetryPolicy, JittersFullyUpToTheCap) {
  EXPECT_EQ(RetryDelay(seconds(1), seconds(32), 0, 0.0), seconds(0));
  EXPECT_EQ(RetryDelay(seconds(1), seconds(32), 0, 0.5), milliseconds(500));
  EXPECT_EQ(RetryDelay(seconds(1), seconds(32), 3, 0.5), seconds(4));
  EXPECT_EQ(RetryDelay(seconds(1), seconds(32), 5, 0.25), seconds(8));
  EXPECT_EQ(RetryDelay(seconds(1), seconds(32), 4'000'000, 0.5), seconds(16));
}

TEST(RetryPolicy, ReadsRetryAfter) {
  EXPECT_EQ(ParseRetryAfter("120", 0), seconds(120));
  EXPECT_EQ(ParseRetryAfter("Thu, 01 Jan 1970 00:01:00 GMT", 20), seconds(40));
  EXPECT_EQ(ParseRetryAfter("Thu, 01 Jan 1970 00:01:00 GMT", 90), seconds(0));
  EXPECT_EQ(ParseRetryAfter("soon", 0), std::nullopt);
  EXPECT_EQ(ParseRetryAfter("-5", 0), std::nullopt);
  EXPECT_EQ(ParseRetryAfter("18446744073709551615", 0), std::chrono::hours(365 * 24));
}

TEST(RetryPolicy, ReadsRateLimit) {
  EXPECT_EQ(ParseRateLimit(R"("api";r=0;t=55)"), seconds(55));
  EXPECT_EQ(ParseRateLimit(R"("api";r=12;t=55, "pages"; r=0; t=7)"), seconds(7));
  EXPECT_EQ(ParseRateLimit(R"("api";t=3)"), seconds(3));
  EXPECT_EQ(ParseRateLimit(R"("api";r=12;t=55)"), std::nullopt);
  EXPECT_EQ(ParseRateLimit("limit"), std::nullopt);
  EXPECT_EQ(AskedDelay({{"ratelimit", R"("api";r=0;t=9)"}}, 0), seconds(9));
  EXPECT_EQ(AskedDelay({{"ratelimit", R"("api";r=0;t=9)"}, {"retry-after", "4"}}, 0), seconds(4));
  EXPECT_EQ(AskedDelay({}, 0), std::nullopt);
}

TEST(RetryPolicy, KnowsWhatWasSurelyNotCarriedOut) {
  EXPECT_TRUE(IsSurelyRefused(429, {}));
  EXPECT_TRUE(IsSurelyRefused(503, {{"Retry-After", "1"}}));
  EXPECT_FALSE(IsSurelyRefused(503, {}));
  EXPECT_FALSE(IsSurelyRefused(500, {{"Retry-After", "1"}}));
}

TEST(ContentRangeHeader, ReadsAllItsForms) {
  const auto whole = ParseContentRange("bytes 5-9/100");
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->range, (ByteRange{5, 10}));
  EXPECT_EQ(whole->total_bytes, 100U);
  EXPECT_EQ(ParseContentRange("bytes 0-0/*")->total_bytes, std::nullopt);
  EXPECT_EQ(ParseContentRange("bytes */7")->range, std::nullopt);
  for (const char* text : {"", "bytes", "bytes 5-4/10", "bytes 5-10/10", "bytes 1-2", "items 1-2/3",
                           "bytes a-2/3", "bytes 0-18446744073709551615/*", "bytes 1-2/x"})
    EXPECT_FALSE(ParseContentRange(text).has_value()) << text;
}

TEST(HttpHeaders, AreFoundInAnyCase) {
  const Headers headers = {{"ETag", "a"}, {"etag", "b"}};
  EXPECT_EQ(*FindHeader(headers, "ETAG"), "a");
  EXPECT_EQ(FindHeader(headers, "tag"), nullptr);
  EXPECT_EQ(ParseHeaderLine("A: b c \r\n")->value, "b c");
  EXPECT_FALSE(ParseHeaderLine(": b").has_value());
  EXPECT_EQ(ParseStatusLine("HTTP/1.1 206 Partial Content\r\n"), 206);
  EXPECT_EQ(ParseStatusLine("HTTP/1.1 2\r\n"), std::nullopt);
}

TEST(HttpHeaders, KnowCredentials) {
  for (const char* name : {"Authorization", "cookie", "X-Goog-User-Project", "x-amz-security-token",
                           "x-ms-date", "x-goog-encryption-key"})
    EXPECT_TRUE(IsCredential(name)) << name;
  for (const char* name : {"Range", "Accept", "If-Match"}) EXPECT_FALSE(IsCredential(name)) << name;
}

TEST(Addresses, TellPublicFromPrivate) {
  for (const char* text : {"8.8.8.8", "172.15.0.1", "172.32.0.1", "169.253.0.1", "2600::1",
                           "::ffff:8.8.8.8", "64:ff9b::808:808"})
    EXPECT_TRUE(IsPublicAddress(text)) << text;
  for (const char* text : {"127.0.0.1",
                           "10.1.2.3",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.1.1",
                           "169.254.169.254",
                           "100.64.0.1",
                           "0.0.0.0",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::1",
                           "::",
                           "fe80::1",
                           "fd00:ec2::254",
                           "ff02::1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "64:ff9b::a9fe:a9fe",
                           "2002:7f00:1::",
                           "::7f00:1",
                           "name",
                           ""})
    EXPECT_FALSE(IsPublicAddress(text)) << text;
}

TEST(Addresses, LieInNetworks) {
  EXPECT_TRUE(IsInNetwork("10.1.2.3", "10.0.0.0/8"));
  EXPECT_FALSE(IsInNetwork("11.1.2.3", "10.0.0.0/8"));
  EXPECT_TRUE(IsInNetwork("10.1.2.3", "0.0.0.0/0"));
  EXPECT_TRUE(IsInNetwork("fd00::5", "fd00::/8"));
  EXPECT_FALSE(IsInNetwork("host", "10.0.0.0/8"));
  EXPECT_FALSE(IsInNetwork("10.1.2.3", "10.0.0.0/33"));
  EXPECT_FALSE(IsInNetwork("10.1.2.3", "10.1.2.3"));
}

TEST(RedirectRules, FollowOnlyToSafePlaces) {
  const Origins origins = *Origins::Trust({"http://minio.test:9000/"});
  const Url hub = *Url::Parse("https://hub.test/a?sig=planted");
  EXPECT_TRUE(origins.Follow(hub, "https://cdn.test/b", false).has_value());
  EXPECT_TRUE(origins.Follow(hub, "/c", false).has_value());
  for (const char* target :
       {"http://cdn.test/b", "http://minio.test:9000/b", "https://127.0.0.1/", "https://localhost/",
        "https://a.localhost/", "https://169.254.169.254/latest", "https://metadata/",
        "https://metadata.google.internal/x", "https://10.0.0.1/", "https://[::1]/",
        "https://[fd00:ec2::254]/", "https://user@cdn.test/", "ftp://cdn.test/"}) {
    SCOPED_TRACE(target);
    const auto followed = origins.Follow(hub, target, false);
    ASSERT_FALSE(followed.has_value());
    EXPECT_EQ(followed.error().code, Code::kUnavailable);
    EXPECT_THAT(followed.error().Print(), testing::Not(testing::HasSubstr("planted")));
  }
  const Url plain = *Url::Parse("http://minio.test:9000/a");
  EXPECT_TRUE(origins.Follow(plain, "/b", false).has_value());
  EXPECT_TRUE(origins.Follow(plain, "https://cdn.test/b", false).has_value());
  EXPECT_FAILS(Code::kUnavailable, origins.Follow(plain, "http://other.test/b", false));
  EXPECT_FAILS(Code::kUnavailable, origins.Follow(plain, "https://10.0.0.1/b", false));
  EXPECT_TRUE(origins.Follow(plain, "https://10.0.0.1/b", true).has_value());
}

TEST(RedirectRules, DemandTlsOfTheFirstAddress) {
  const Origins origins = *Origins::Trust({"http://minio.test:9000"});
  for (const char* text : {"https://a.test/", "http://127.0.0.1/", "http://minio.test:9000/x",
                           "http://metadata.google.internal/", "http://169.254.169.254/"})
    EXPECT_TRUE(origins.CheckFirst(*Url::Parse(text)).has_value()) << text;
  for (const char* text : {"http://a.test/", "http://minio.test/", "http://10.0.0.1/"}) {
    SCOPED_TRACE(text);
    EXPECT_FAILS(Code::kUsage, origins.CheckFirst(*Url::Parse(text)));
  }
  EXPECT_FAILS(Code::kUsage, Origins::Trust({"minio"}));
}

std::string ProxyFor(std::map<std::string, std::string> variables, const char* address) {
  const Proxies proxies = Proxies::Read([&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
  return proxies.For(*Url::Parse(address)).Reveal();
}

TEST(ProxyChoice, FollowsTheUsualVariables) {
  EXPECT_EQ(ProxyFor({{"https_proxy", "p"}}, "https://a.test/"), "p");
  EXPECT_EQ(ProxyFor({{"HTTPS_PROXY", "p"}}, "https://a.test/"), "p");
  EXPECT_EQ(ProxyFor({{"ALL_PROXY", "p"}}, "https://a.test/"), "p");
  EXPECT_EQ(ProxyFor({{"https_proxy", "p"}}, "http://a.test/"), "");
  EXPECT_EQ(ProxyFor({{"HTTP_PROXY", "p"}}, "http://a.test/"), "");
  EXPECT_EQ(ProxyFor({{"all_proxy", "p"}, {"no_proxy", "*"}}, "https://a.test/"), "");
}

TEST(ProxyChoice, SparesExceptionsLoopbackAndMetadata) {
  const std::map<std::string, std::string> variables = {
      {"all_proxy", "p"}, {"no_proxy", "a.test, .b.test 10.0.0.0/8,[fd00::1]"}};
  for (const char* address :
       {"https://a.test/", "https://x.a.test/", "https://b.test/", "https://x.b.test/",
        "https://10.2.3.4/", "https://[fd00::1]/", "http://127.0.0.1/",
        "http://metadata.google.internal/", "http://169.254.169.254/"})
    EXPECT_EQ(ProxyFor(variables, address), "") << address;
  for (const char* address : {"https://xa.test/", "https://c.test/", "https://11.2.3.4/"})
    EXPECT_EQ(ProxyFor(variables, address), "p") << address;
}

TEST(Pacing, HalvesOncePerComplaintAndGrowsSlowly) {
  const Time start{};
  const auto at = [&](int second) { return start + seconds(second); };
  using Verdict = Pacer::Verdict;
  Pacer pacer(8);
  for (int i = 0; i < 8; ++i) pacer.Begin();
  EXPECT_FALSE(pacer.IsOpen());
  for (int i = 0; i < 8; ++i) pacer.End(Verdict::kTooMany, at(1), at(2));
  EXPECT_EQ(pacer.limit(), 4U);  // they were under way together
  pacer.Begin();
  pacer.End(Verdict::kTooMany, at(3), at(4));
  EXPECT_EQ(pacer.limit(), 2U);
  for (int i = 0; i < 4; ++i) {
    pacer.Begin();
    pacer.End(Verdict::kTooMany, at(5 + i), at(5 + i));
  }
  EXPECT_EQ(pacer.limit(), 1U);
  for (int i = 0; i < 8; ++i) {
    pacer.Begin();
    pacer.End(Verdict::kNeutral, at(20), at(21));
  }
  EXPECT_EQ(pacer.limit(), 1U);
  for (int i = 0; i < 8 * 20; ++i) {
    pacer.Begin();
    pacer.End(Verdict::kSuccess, at(20), at(21));
  }
  EXPECT_EQ(pacer.limit(), 8U);
}

TEST(Endings, TellBreaksFromRefusals) {
  using Kind = Ending::Kind;
  EXPECT_EQ(EndingKind(CURLE_OK, true, ""), Kind::kWhole);
  EXPECT_EQ(EndingKind(CURLE_COULDNT_RESOLVE_HOST, false, ""), Kind::kUnresolved);
  EXPECT_EQ(EndingKind(CURLE_COULDNT_CONNECT, false, ""), Kind::kNoConnection);
  EXPECT_EQ(EndingKind(CURLE_OPERATION_TIMEDOUT, false, ""), Kind::kTimeout);
  EXPECT_EQ(EndingKind(CURLE_RECV_ERROR, true, ""), Kind::kBroken);
  EXPECT_EQ(EndingKind(CURLE_GOT_NOTHING, true, ""), Kind::kBroken);
  EXPECT_EQ(EndingKind(CURLE_PARTIAL_FILE, true, ""), Kind::kShort);
  EXPECT_EQ(EndingKind(CURLE_PEER_FAILED_VERIFICATION, false, ""), Kind::kUntrusted);
  EXPECT_EQ(EndingKind(CURLE_SSL_CONNECT_ERROR, false, "SSL_ERROR_SYSCALL"), Kind::kNoConnection);
  EXPECT_EQ(EndingKind(CURLE_SSL_CONNECT_ERROR, false, "SSL routines::wrong version number"),
            Kind::kUntrusted);
}

}  // namespace
}  // namespace ckpt::http
