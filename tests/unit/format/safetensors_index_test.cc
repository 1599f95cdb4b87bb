#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/safetensors/index.h"
#include "tests/unit/format/error_of.h"

namespace ckpt::safetensors {
namespace {

using ::testing::HasSubstr;

TEST(SafetensorsIndex, GivesTensorsAndShardsSorted) {
  const auto index = DecodeIndex(
      R"({"weight_map":{"z":"2.safetensors","a":"9.safetensors","b":"2.safetensors"},"metadata":{"total_size":12}})");
  ASSERT_TRUE(index) << ErrorText(index);
  EXPECT_EQ(index->shards, (std::vector<std::string>{"2.safetensors", "9.safetensors"}));
  EXPECT_EQ(index->entries, (std::vector<Index::Entry>{{"a", 1}, {"b", 0}, {"z", 0}}));
  EXPECT_EQ(index->total_size_bytes, 12U);
}

TEST(SafetensorsIndex, ReadsATotalSizeWrittenAsAFloat) {
  EXPECT_EQ(DecodeIndex(R"({"metadata":{"total_size":26032740352.0},"weight_map":{"a":"s"}})")
                ->total_size_bytes,
            26032740352U);
}

TEST(SafetensorsIndex, IgnoresMetadataThatItDoesNotKnow) {
  const auto index = DecodeIndex(
      R"({"metadata":{"total_size":"big","x":{"total_size":1}},"extra":[1],"weight_map":{"a":"s"}})");
  ASSERT_TRUE(index) << ErrorText(index);
  EXPECT_FALSE(index->total_size_bytes);
}

TEST(SafetensorsIndex, RefusesOneThatMapsNothing) {
  EXPECT_THAT(ErrorText(DecodeIndex("{}")), HasSubstr("no \"weight_map\""));
  EXPECT_THAT(ErrorText(DecodeIndex(R"({"weight_map":{}})")), HasSubstr("\"weight_map\" is empty"));
  EXPECT_THAT(ErrorText(DecodeIndex(R"({"weight_map":[]})")),
              HasSubstr("\"weight_map\" is no JSON object"));
  EXPECT_THAT(ErrorText(DecodeIndex("[]")), HasSubstr("no JSON object"));
}

TEST(SafetensorsIndex, RefusesATensorNamedTwice) {
  EXPECT_THAT(ErrorText(DecodeIndex(R"({"weight_map":{"a":"s","\u0061":"t"}})")),
              HasSubstr("\"a\" appears twice"));
  EXPECT_THAT(ErrorText(DecodeIndex(R"({"weight_map":{"a":"s"},"weight_map":{"b":"s"}})")),
              HasSubstr("\"weight_map\" appears twice"));
}

TEST(SafetensorsIndex, RefusesAShardThatIsNoString) {
  const auto index = DecodeIndex(R"({"weight_map":{"a":1}})");
  EXPECT_THAT(ErrorText(index), HasSubstr("no string"));
  EXPECT_EQ(PlaceOf(index, "tensor"), "a");
  EXPECT_FALSE(DecodeIndex(R"({"weight_map":{"a":{"b":"s"}}})"));
}

TEST(SafetensorsIndex, IsWrittenAsTheHubsToolsDo) {
  const std::string text =
      "{\n  \"metadata\": {\n    \"total_size\": 12\n  },\n  \"weight_map\": {\n    \"a\": "
      "\"1.safetensors\",\n"
      "    \"b\": \"2.safetensors\"\n  }\n}\n";
  EXPECT_EQ(EncodeIndex({{{"a", 0}, {"b", 1}}, {"1.safetensors", "2.safetensors"}, 12}), text);
  EXPECT_EQ(EncodeIndex(*DecodeIndex(text)), text);
}

}  // namespace
}  // namespace ckpt::safetensors
