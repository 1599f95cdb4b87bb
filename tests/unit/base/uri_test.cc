#include "base/uri.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

TEST(Uri, TakesAPlainPathForAFile) {
  const Uri uri = *Uri::Parse("/models/gemma");
  EXPECT_EQ(uri.scheme(), "file");
  EXPECT_EQ(uri.path(), "/models/gemma");
  EXPECT_EQ(*Uri::Parse("file:///models/gemma"), uri);
  EXPECT_EQ(Uri::Parse("a?b#c")->path(), "a?b#c");
}

TEST(Uri, SplitsSchemeAuthorityAndPath) {
  const Uri uri = *Uri::Parse("gs://bucket/a/b");
  EXPECT_EQ(uri.scheme(), "gs");
  EXPECT_EQ(uri.authority(), "bucket");
  EXPECT_EQ(uri.path(), "a/b");
  EXPECT_EQ(Uri::Parse("gs://bucket")->path(), "");
  EXPECT_EQ(Uri::Parse("null:")->scheme(), "null");
}

TEST(Uri, NeverPrintsUserQueryOrFragment) {
  const std::string printed = Uri::Parse("https://user:pass@host/a/b?X-Sig=key#frag")->Print();
  EXPECT_EQ(printed, "https://host/a/b?[redacted]");
  EXPECT_EQ(Uri::Parse("https://host?sig=key")->Print(), "https://host?[redacted]");
  EXPECT_EQ(Uri::Parse("https://u:p@ss@host/x")->Print(), "https://host/x");
}

TEST(Uri, PrintsAPlaceBelowItself) {
  EXPECT_EQ(Uri::Parse("/m")->PrintBelow("a/b"), "/m/a/b");
  EXPECT_EQ(Uri::Parse("/m/")->PrintBelow("a"), "/m/a");
  EXPECT_EQ(Uri::Parse("gs://bucket/x")->PrintBelow("a"), "gs://bucket/x/a");
  EXPECT_EQ(Uri::Parse("gs://bucket/x")->PrintBelow(""), "gs://bucket/x");
}

TEST(Uri, NamesAPlaceBelowASignedUrlBeforeItsQuery) {
  EXPECT_EQ(Uri::Parse("https://host/x?sig=key")->PrintBelow("a"), "https://host/x/a?[redacted]");
}

TEST(Uri, RefusesWhatIsNoPlace) {
  using namespace std::string_view_literals;
  for (const std::string_view text : {""sv, "a\0b"sv, "://x"sv, "s p://x"sv, "file://"sv})
    EXPECT_EQ(Uri::Parse(text).error().code, Code::kUsage) << text;
}

}  // namespace
}  // namespace ckpt
