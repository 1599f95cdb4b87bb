#include "store/meta/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/base64.h"

namespace ckpt {
namespace {

using testing::HasSubstr;

// As CloudFront writes base64.
std::string PolicyUntil(int64_t time) {
  std::string text = EncodeBase64(
      R"({"Statement":[{"unique_hash":"a?>","Resource":"https://download.llamameta.net/*",)"
      R"("Condition":{"DateLessThan":{"AWS:EpochTime":)" +
      std::to_string(time) + "}}}]}");
  for (char& c : text) {
    if (c == '+') c = '-';
    if (c == '=') c = '_';
    if (c == '/') c = '~';
  }
  return text;
}

std::string LinkUntil(int64_t time) {
  return "https://download.llamameta.net/*?Policy=" + PolicyUntil(time) +
         "&Signature=s3cret~-_&Key-Pair-Id=K1&Download-Request-ID=7";
}

TEST(MetaLink, ReplacesTheFirstStarAndKeepsTheQuery) {
  const MetaLink link = *MetaLink::Parse(Secret(LinkUntil(5)));
  const http::Url url = link.Of("Meta-Llama-3-8B/params.json");
  EXPECT_EQ(url.path(), "/Meta-Llama-3-8B/params.json");
  EXPECT_EQ(url.query().Reveal(), LinkUntil(5).substr(LinkUntil(5).find('?') + 1));
  EXPECT_EQ(link.Print().find("s3cret"), std::string::npos);
}

TEST(MetaLink, TakesAwayWhatMailAndShellsAdd) {
  const std::string good = LinkUntil(5);
  std::string escaped;
  for (const char c : good) {
    if (c == '?' || c == '=' || c == '&') escaped += '\\';
    escaped += c;
  }
  for (const std::string& text :
       {" " + good + "\n", "\"" + good + "\"", "'" + good + "'", escaped, "'" + escaped + "' "}) {
    const Result<MetaLink> link = MetaLink::Parse(Secret(text));
    ASSERT_TRUE(link) << text;
    EXPECT_EQ(link->Of("a").query().Reveal(),
              MetaLink::Parse(Secret(good))->Of("a").query().Reveal());
  }
}

TEST(MetaLink, RefusesOtherTextsWithoutRepeatingThem) {
  for (const char* text : {"", "s3cret", "ftp://host/*?s3cret", "https://host/a?Policy=s3cret",
                           "https://host/*", "http s3cret"}) {
    const Result<MetaLink> link = MetaLink::Parse(Secret(text));
    ASSERT_FALSE(link) << text;
    EXPECT_EQ(link.error().code, Code::kNoCredential);
    EXPECT_EQ(link.error().Print().find("s3cret"), std::string::npos);
  }
}

TEST(MetaLink, FailsBeforeTheStartWhenItHasEnded) {
  const MetaLink link = *MetaLink::Parse(Secret(LinkUntil(1'700'000'000)));
  EXPECT_EQ(link.Expiry(), 1'700'000'000);
  EXPECT_TRUE(link.CheckAlive(1'699'999'999));
  const Result<void> ended = link.CheckAlive(1'700'000'000);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Code::kDenied);
  EXPECT_THAT(ended.error().what, HasSubstr("2023-11-14 22:13:20 UTC"));
  EXPECT_THAT(ended.error().remedy, HasSubstr("https://www.llama.com/llama-downloads/"));
}

TEST(MetaLink, KnowsNoEndWhereThePolicyHasNone) {
  for (const char* policy : {"Policy=", "Policy=!!", "Policy=e30_", "Policy=W10_", "P=1"}) {
    const MetaLink link = *MetaLink::Parse(Secret("https://host/*?" + std::string(policy)));
    EXPECT_EQ(link.Expiry(), std::nullopt) << policy;
    EXPECT_TRUE(link.CheckAlive(1'700'000'000));
  }
}

}  // namespace
}  // namespace ckpt
