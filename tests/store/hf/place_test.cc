#include "store/hf/place.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

HfPlace Parsed(const std::string& text) {
  Result<HfPlace> place = HfPlace::Parse(text);
  EXPECT_TRUE(place) << text << "\n" << (place ? "" : place.error().Print());
  return place ? *place : HfPlace();
}

TEST(HfPlace, ReadsRepositoryRevisionAndFolder) {
  const HfPlace place = Parsed("hf://google/gemma-2-9b@33c1930/sub/folder");
  EXPECT_EQ(place.repo, "google/gemma-2-9b");
  EXPECT_EQ(place.revision, "33c1930");
  EXPECT_EQ(place.folder, "sub/folder");
}

TEST(HfPlace, NeedsNoSchemeRevisionOrFolder) {
  for (const char* text : {"google/gemma-2-9b", "hf://google/gemma-2-9b", "google/gemma-2-9b/"}) {
    EXPECT_EQ(Parsed(text).repo, "google/gemma-2-9b");
    EXPECT_EQ(Parsed(text).revision, "main");
    EXPECT_EQ(Parsed(text).folder, "");
  }
}

TEST(HfPlace, ReadsFoldersWithoutRevision) {
  EXPECT_EQ(Parsed("hf://org/name/a/b").folder, "a/b");
  EXPECT_EQ(Parsed("hf://org/name/a/b").repo, "org/name");
}

TEST(HfPlace, ReadsRepositoriesWithoutOwner) {
  EXPECT_EQ(Parsed("gpt2").repo, "gpt2");
  EXPECT_EQ(Parsed("hf://gpt2@main/onnx").repo, "gpt2");
  EXPECT_EQ(Parsed("hf://gpt2@main/onnx").folder, "onnx");
}

TEST(HfPlace, TakesRevisionsWithSlashes) {
  EXPECT_EQ(Parsed("org/name@refs/pr/1").revision, "refs/pr/1");
  EXPECT_EQ(Parsed("org/name@refs/pr/1/sub").folder, "sub");
  EXPECT_EQ(Parsed("org/name@refs%2Fpr%2F1/sub").revision, "refs/pr/1");
  EXPECT_EQ(Parsed("org/name@feature%2Fa").revision, "feature/a");
}

TEST(HfPlace, PrintsWhatItReads) {
  for (const char* text :
       {"hf://org/name@main", "hf://org/name@v1.0/sub/folder", "hf://org/name@refs%2Fpr%2F1/sub"})
    EXPECT_EQ(Parsed(text).Print(), text);
}

TEST(HfPlace, RefusesBadRepositoryIds) {
  for (const char* text :
       {"", "hf://", "/name", "a..b/name", "org/a--b", "-org/name", "org/name.", ".org/name",
        "org/na me", "org/name@", "hf://org/n%61me", "org\\name", "o\xc3\xa9/name"}) {
    const Result<HfPlace> place = HfPlace::Parse(text);
    ASSERT_FALSE(place) << text;
    EXPECT_EQ(place.error().code, Code::kUsage) << text;
    EXPECT_FALSE(place.error().remedy.empty()) << text;
  }
  EXPECT_FALSE(HfPlace::Parse("org/" + std::string(97, 'a')));
  EXPECT_TRUE(HfPlace::Parse("org/" + std::string(96, 'a')));
}

TEST(HfPlace, RefusesFoldersAndRevisionsThatLeadElsewhere) {
  for (const char* text : {"org/name/../x", "org/name/a//b", "org/name@../main", "org/name@a%2F..",
                           "org/name@%zz", "org/name@%00"})
    EXPECT_FALSE(HfPlace::Parse(text)) << text;
}

TEST(HfPlace, KnowsACommit) {
  EXPECT_TRUE(IsCommit("0123456789abcdef0123456789abcdef01234567"));
  EXPECT_FALSE(IsCommit("0123456789abcdef"));
  EXPECT_FALSE(IsCommit("0123456789ABCDEF0123456789abcdef01234567"));
}

}  // namespace
}  // namespace ckpt
