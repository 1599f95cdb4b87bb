#include <gtest/gtest.h>

#include "store/hf/api.h"
#include "store/hf/digest.h"
#include "store/hub/link_header.h"

namespace ckpt {
namespace {

TEST(HfTree, ReadsSizesAndDigests) {
  const Result<std::vector<HfFile>> files = ParseTree(R"([
      {"type":"directory","path":"sub","size":0,"oid":"d1"},
      {"type":"file","path":"config.json","size":614,"oid":"a1"},
      {"type":"file","path":"sub/model.safetensors","size":135,"oid":"b1",
       "lfs":{"oid":"ffff","size":4949453792,"pointerSize":135},"xetHash":"x"}])");
  ASSERT_TRUE(files) << files.error().Print();
  ASSERT_EQ(files->size(), 2);
  EXPECT_EQ((*files)[0].path, "config.json");
  EXPECT_EQ((*files)[0].digest(), "a1");
  EXPECT_EQ((*files)[1].size_bytes, 4949453792);
  EXPECT_EQ((*files)[1].digest(), "ffff");
}

TEST(HfTree, RefusesWhatIsNoListing) {
  for (const char* text :
       {"", "{}", "[1]", R"([{"type":"file","path":"a"}])",
        R"([{"type":"file","path":"a","size":-1}])", R"([{"type":"file","path":"../a","size":1}])",
        R"([{"type":"file","size":1}])"}) {
    const Result<std::vector<HfFile>> files = ParseTree(text);
    ASSERT_FALSE(files) << text;
    EXPECT_EQ(files.error().code, Code::kBadInput) << text;
  }
}

// Of `git hash-object` and `sha256sum`.
TEST(HfDigest, IsThatOfGitAndOfTheStorage) {
  const std::string text = "hello\n";
  const auto bytes = std::as_bytes(std::span(text));
  EXPECT_EQ(GitBlobSha1(bytes), "ce013625030ba8dba906f756967f9e9ca394464a");
  HfFile file{"a", 6, "ce013625030ba8dba906f756967f9e9ca394464a", ""};
  EXPECT_TRUE(CheckDigest(file, bytes));
  file.sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
  EXPECT_TRUE(CheckDigest(file, bytes));
  file.sha256[0] = '6';
  EXPECT_FALSE(CheckDigest(file, bytes));
}

TEST(HfDigest, KnowsWhatIsNotTheFile) {
  EXPECT_NE(StandIn("version https://git-lfs.github.com/spec/v1\noid sha256:"), "");
  EXPECT_NE(StandIn("<!DOCTYPE html>"), "");
  EXPECT_EQ(StandIn("{\"a\": 1}"), "");
  EXPECT_EQ(StandIn(""), "");
}

TEST(LinkHeader, NamesTheNextPageOfTheSameOrigin) {
  const http::Url page = *http::Url::Parse("https://hub.example/api/tree?recursive=true");
  const auto next = NextPage(
      page, {{"link", R"(<https://hub.example/a?c=1>; rel="prev", </b?c=2>; rel="next")"}});
  ASSERT_TRUE(next);
  ASSERT_TRUE(*next);
  EXPECT_EQ((*next)->path(), "/b");
  EXPECT_EQ((*next)->query().Reveal(), "c=2");
  EXPECT_FALSE(*NextPage(page, {}));
  EXPECT_FALSE(*NextPage(page, {{"Link", R"(<https://hub.example/a>; rel="prev")"}}));
}

TEST(LinkHeader, LeadsToNoOtherOrigin) {
  const http::Url page = *http::Url::Parse("https://hub.example/api");
  for (const char* address : {"https://evil.example/api", "http://hub.example/api",
                              "https://hub.example:444/api", "//evil.example/"}) {
    const auto next = NextPage(page, {{"Link", "<" + std::string(address) + ">; rel=\"next\""}});
    ASSERT_FALSE(next) << address;
    EXPECT_EQ(next.error().code, Code::kBadInput);
  }
}

}  // namespace
}  // namespace ckpt
