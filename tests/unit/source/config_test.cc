#include "source/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/format/error_of.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;
using Values = std::map<std::string, ConfigValue>;

TEST(SourceConfig, JoinsKeysWithDotsAndListsByIndex) {
  const auto config = FlattenConfig(
      "hf", "config.json", R"({"architectures":["A","B"],"rope":{"type":"x","list":[[1],{"k":2}]},
      "empty":[],"none":null})");
  ASSERT_TRUE(config) << ErrorText(config);
  EXPECT_EQ(config->values, (Values{{"architectures.0", "A"},
                                    {"architectures.1", "B"},
                                    {"architectures.length", int64_t{2}},
                                    {"rope.type", "x"},
                                    {"rope.list.0.0", int64_t{1}},
                                    {"rope.list.0.length", int64_t{1}},
                                    {"rope.list.1.k", int64_t{2}},
                                    {"rope.list.length", int64_t{2}},
                                    {"empty.length", int64_t{0}}}));
}

TEST(SourceConfig, KeepsTheTypeOfEachValue) {
  const auto config =
      FlattenConfig("hf", "config.json",
                    R"({"b":true,"i":-3,"u":7,"d":1e-5,"s":"x","big":18446744073709551615})");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->values, (Values{{"b", true},
                                    {"i", int64_t{-3}},
                                    {"u", int64_t{7}},
                                    {"d", 1e-5},
                                    {"s", "x"},
                                    {"big", 18446744073709551615.0}}));
}

TEST(SourceConfig, KeepsTheTextVerbatim) {
  const std::string text = " {\"a\" : 1}\n";
  EXPECT_EQ(FlattenConfig("hf", "config.json", text)->text, text);
}

TEST(SourceConfig, CountsNullsAsListItems) {
  const auto config = FlattenConfig("hf", "c", R"({"l":[null,1,[],{}]})");
  EXPECT_EQ(config->values,
            (Values{{"l.1", int64_t{1}}, {"l.2.length", int64_t{0}}, {"l.length", int64_t{4}}}));
}

TEST(SourceConfig, RefusesAKeyThatAppearsTwice) {
  const auto config = FlattenConfig("hf", "c", R"({"a":{"b":1,"b":2}})");
  EXPECT_THAT(ErrorText(config), HasSubstr("appears twice"));
  EXPECT_EQ(PlaceOf(config, "key"), "a.b");
}

TEST(SourceConfig, RefusesWhatIsNoObject) {
  EXPECT_THAT(ErrorText(FlattenConfig("hf", "c", "[1]")), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorText(FlattenConfig("hf", "c", "{\"a\":")), HasSubstr("not JSON"));
}

TEST(SourceConfig, RefusesTextsWhoseKeysGrowBeyondMeasure) {
  std::string text = "{\"" + std::string(100000, 'k') + "\":[0";
  for (int i = 0; i < 1000; ++i) text += ",0";
  EXPECT_THAT(ErrorText(FlattenConfig("hf", "c", text + "]}")), HasSubstr("too many values"));
}

TEST(ReadConfigs, ReadsBothKindsOfTheFolder) {
  MemoryStore store;
  store.Put("m/config.json", R"({"a":1})");
  store.Put("m/params.json", R"({"b":2})");
  store.Put("config.json", R"({"other":2})");
  MemoryBudget budget(1 << 20);
  const auto configs = ReadConfigs(store, "m/", budget);
  ASSERT_TRUE(configs) << ErrorText(configs);
  ASSERT_EQ(configs->size(), 2U);
  EXPECT_EQ((*configs)[0].kind, "hf");
  EXPECT_EQ((*configs)[0].object, "config.json");
  EXPECT_EQ((*configs)[1].kind, "meta");
  EXPECT_EQ(budget.used_bytes(), 0U);
}

TEST(ReadConfigs, NamesTheFileOfADefect) {
  MemoryStore store;
  store.Put("config.json", "{\"a\":}");
  MemoryBudget budget(1 << 20);
  const auto configs = ReadConfigs(store, "", budget);
  EXPECT_EQ(PlaceOf(configs, "file"), "/memory/config.json");
  EXPECT_EQ(PlaceOf(configs, "byte"), "5");
}

TEST(ReadConfigs, RefusesAFileOver16MiB) {
  MemoryStore store;
  store.Put("config.json", std::string(kMaxConfigBytes + 1, ' '));
  MemoryBudget budget(1ULL << 30U);
  EXPECT_EQ(ReadConfigs(store, "", budget).error().code, Code::kBadInput);
}

}  // namespace
}  // namespace ckpt
