#include "cli/entrypoint/places.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace ckpt::contract {
namespace {

TEST(IsBucketName, FollowsTheRulesOfCloudStorage) {
  for (const std::string& name : {std::string("abc"), std::string("my-bucket_1.x"),
                                  std::string("0a0"), std::string(222, 'a')})
    EXPECT_TRUE(IsBucketName(name)) << name;
  for (const std::string& name :
       {std::string(), std::string("ab"), std::string("Abc"), std::string("-ab"),
        std::string("ab-"), std::string(".ab"), std::string("a b"), std::string("a/b"),
        std::string("a=b"), std::string("=bkt"), std::string("$bkt"), std::string("b\xc3\xa4m"),
        std::string(223, 'a')})
    EXPECT_FALSE(IsBucketName(name)) << name;
}

TEST(LooksUnreplaced, KnowsTheMarksOfTemplates) {
  for (const char* text :
       {"$BUCKET_NAME", "${BUCKET_NAME}", "$(BUCKET_NAME)", "$bucket", "$_", "a/$X/b", "cost$5-$X",
        "<bucket>", "<YOUR BUCKET>", "BUCKET_NAME", "META_URL", "GEMMA_BUCKET_NAME", "BUCKET_2"})
    EXPECT_TRUE(LooksUnreplaced(text)) << text;
  for (const char* text : {"", "bucket_name", "my-bucket", "BUCKET", "a$5", "a$", "<>", "a<b>c",
                           "gs://b/OUT_DIR", "7B"})
    EXPECT_FALSE(LooksUnreplaced(text)) << text;
}

TEST(IsLocal, IsAPathAndNoAddress) {
  for (const char* place : {"/", "/a", "./a", "a/b", ".", ".."})
    EXPECT_TRUE(IsLocal(place)) << place;
  for (const char* place : {"", "a", "gs://a/b", "https://a/b", "s3://a"})
    EXPECT_FALSE(IsLocal(place)) << place;
}

TEST(Collapsed, LeavesSingleSlashesAndNoneAtTheEnd) {
  const std::vector<std::pair<std::string, std::string>> rows = {{"gs://b", "gs://b"},
                                                                 {"gs://b/", "gs://b"},
                                                                 {"gs://b//x///y//", "gs://b/x/y"},
                                                                 {"gs:///b/x", "gs://b/x"},
                                                                 {"gs://", "gs://"},
                                                                 {"/a//b/", "/a/b"},
                                                                 {"//a", "/a"},
                                                                 {"/", "/"},
                                                                 {"///", "/"},
                                                                 {"a/", "a"},
                                                                 {"./a//", "./a"},
                                                                 {"", ""}};
  for (const auto& [place, collapsed] : rows) EXPECT_EQ(Collapsed(place), collapsed) << place;
}

TEST(BucketOf, SplitsAPlaceInABucket) {
  EXPECT_TRUE(IsBucketUri("gs://b/x/y"));
  EXPECT_FALSE(IsBucketUri("/gs://b"));
  EXPECT_EQ(BucketOf("gs://b/x/y"), "b");
  EXPECT_EQ(BehindBucket("gs://b/x/y"), "/x/y");
  EXPECT_EQ(BucketOf("gs://b"), "b");
  EXPECT_EQ(BehindBucket("gs://b"), "");
  EXPECT_EQ(BehindBucket("gs://b/"), "/");
}

}  // namespace
}  // namespace ckpt::contract
