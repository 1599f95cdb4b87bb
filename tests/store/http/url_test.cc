#include "store/http/url.h"

#include "tests/store/store_test.h"

namespace ckpt::http {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Whole(const std::string& text) {
  const auto url = Url::Parse(text);
  return url ? url->Whole().Reveal() : "error";
}

TEST(Url, KeepsPathAndQueryAsTheyAre) {
  const auto url = Url::Parse("HTTPS://Hub.Example:8443/a%2Fb/../c?X-Sig=%41&b#part");
  ASSERT_TRUE(url.has_value());
  EXPECT_EQ(url->scheme(), "https");
  EXPECT_EQ(url->host(), "hub.example");
  EXPECT_EQ(url->port(), 8443);
  EXPECT_EQ(url->path(), "/a%2Fb/../c");
  EXPECT_EQ(url->query().Reveal(), "X-Sig=%41&b");
  EXPECT_EQ(url->Whole().Reveal(), "https://hub.example:8443/a%2Fb/../c?X-Sig=%41&b");
}

TEST(Url, LeavesDefaultPortsOutOfTheOrigin) {
  EXPECT_EQ(Url::Parse("https://a:443/x")->Origin(), "https://a");
  EXPECT_EQ(Url::Parse("http://a:80")->Origin(), "http://a");
  EXPECT_EQ(Url::Parse("http://a:443")->Origin(), "http://a:443");
  EXPECT_EQ(Url::Parse("https://[FD00::1]:9000/")->Origin(), "https://[fd00::1]:9000");
  EXPECT_EQ(Url::Parse("https://[fd00::1]/")->host(), "fd00::1");
}

TEST(Url, HasAPathAlways) {
  EXPECT_EQ(Whole("https://a"), "https://a/");
  EXPECT_EQ(Whole("https://a?q=1"), "https://a/?q=1");
  EXPECT_EQ(Whole("https://a#x"), "https://a/");
}

TEST(Url, RefusesWhatIsNoPlainHttpAddress) {
  for (const char* text : {"",
                           "a",
                           "/a",
                           "ftp://a/",
                           "file:///a",
                           "https:/a",
                           "https://",
                           "https:///a",
                           "https://user@a/",
                           "https://user:word@a/",
                           "https://a:0/",
                           "https://a:65536/",
                           "https://a:1x/",
                           "https://a b/",
                           "https://a/\n",
                           "https://a/\x7f",
                           "https://a\\@b/",
                           "https://[::1/",
                           "https://[a]/",
                           "https://[::1]x/",
                           "https://a%20b/"}) {
    SCOPED_TRACE(text);
    EXPECT_FAILS(Code::kUsage, Url::Parse(text));
  }
}

TEST(Url, ShowsNeitherQueryNorUserInformation) {
  EXPECT_EQ(Url::Parse("https://a/b?sig=planted")->Print(), "https://a/b?[redacted]");
  EXPECT_EQ(Url::Parse("https://a/b")->Print(), "https://a/b");
  for (const char* text :
       {"https://planted:planted@a/", "ftp://a/?planted", "https://a b/#planted"})
    EXPECT_THAT(Url::Parse(text).error().Print(), Not(HasSubstr("planted"))) << text;
}

TEST(Url, ResolvesReferencesAsTheRfcHasThem) {
  const Url base = *Url::Parse("http://a/b/c/d;p?q");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"g", "http://a/b/c/g"},
      {"./g", "http://a/b/c/g"},
      {"g/", "http://a/b/c/g/"},
      {"/g", "http://a/g"},
      {"//g", "http://g/"},
      {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},
      {"#s", "http://a/b/c/d;p?q"},
      {"", "http://a/b/c/d;p?q"},
      {".", "http://a/b/c/"},
      {"..", "http://a/b/"},
      {"../g", "http://a/b/g"},
      {"../../g", "http://a/g"},
      {"../../../g", "http://a/g"},
      {"/./g", "http://a/g"},
      {"g;x=1/../y", "http://a/b/c/y"},
      {"https://h:1/x?z", "https://h:1/x?z"}};
  for (const auto& [reference, expected] : cases)
    EXPECT_EQ(base.Resolve(reference)->Whole().Reveal(), expected) << reference;
  EXPECT_FAILS(Code::kUsage, base.Resolve("mailto:x"));
  EXPECT_FAILS(Code::kUsage, base.Resolve("//user@h/"));
}

TEST(Url, ReplacesPathAndQuery) {
  const Url url = *Url::Parse("https://a/b?c");
  EXPECT_EQ(url.WithPath("/d%20e").Whole().Reveal(), "https://a/d%20e");
  EXPECT_EQ(url.WithQuery("f=1").Whole().Reveal(), "https://a/b?f=1");
  EXPECT_EQ(url.WithQuery("").Whole().Reveal(), "https://a/b");
}

TEST(Url, KnowsLoopback) {
  EXPECT_TRUE(Url::Parse("http://127.9.0.1/")->IsLoopback());
  EXPECT_TRUE(Url::Parse("http://localhost:1/")->IsLoopback());
  EXPECT_TRUE(Url::Parse("http://[::1]/")->IsLoopback());
  EXPECT_FALSE(Url::Parse("http://127.example/")->IsLoopback());
  EXPECT_FALSE(Url::Parse("http://localhost.example/")->IsLoopback());
}

TEST(PercentCode, EncodesAllButUnreservedCharacters) {
  EXPECT_EQ(PercentEncode("a/b c~-._%\xc3\xa9"), "a%2Fb%20c~-._%25%C3%A9");
  EXPECT_EQ(PercentEncode("a/b c", "/"), "a/b%20c");
}

TEST(PercentCode, DecodesWhatItEncodes) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  EXPECT_EQ(*PercentDecode(PercentEncode(all)), all);
  for (const char* text : {"%", "%4", "a%zz", "%-1", "%+1"}) {
    SCOPED_TRACE(text);
    EXPECT_FAILS(Code::kBadInput, PercentDecode(text));
  }
}

}  // namespace
}  // namespace ckpt::http
