#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "source/open.h"
#include "source/reading.h"
#include "source/safetensors/reader.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/source/make_files.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kIndex = "model.safetensors.index.json";

std::vector<std::pair<std::string, uint64_t>> ManyTensors(size_t count) {
  std::vector<std::pair<std::string, uint64_t>> tensors(count);
  for (size_t i = 0; i < count; ++i) tensors[i] = {fmt::format("tensor.{}", i), 1};
  return tensors;
}

class SafetensorsSource : public ::testing::Test {
 protected:
  Result<Catalog> Index(const std::string& weight_map, const std::string& total = "") {
    store_.Put(kIndex, fmt::format(R"({{{}"weight_map":{{{}}}}})", total, weight_map));
    return ReadSafetensorsIndex(store_, kIndex, budget_);
  }
  std::vector<std::string> Names(const Catalog& catalog) {
    std::vector<std::string> names;
    names.reserve(catalog.tensors.size());
    for (const TensorEntry& tensor : catalog.tensors) names.push_back(tensor.name);
    return names;
  }

  MemoryStore store_;
  MemoryBudget budget_{64 << 20};
};

TEST_F(SafetensorsSource, PlacesTensorsInTheirFile) {
  const std::string file =
      SafetensorsFile({{"b", 2}, {"a", 3}}, safetensors::Metadata{{"format", "pt"}});
  store_.Put("x.safetensors", file);
  const auto catalog = ReadSafetensors(store_, {*store_.Stat("x.safetensors")}, budget_);
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_EQ(catalog->format, "safetensors");
  EXPECT_THAT(Names(*catalog), ElementsAre("a", "b"));
  EXPECT_EQ(catalog->tensors[1].pieces[0].offset_bytes, file.size() - 2);
  EXPECT_EQ(catalog->tensors[1].size_bytes, 2U);
  EXPECT_EQ(catalog->header_bytes, file.size() - 5);
  EXPECT_EQ(catalog->metadata.at("format"), "pt");
  EXPECT_EQ(budget_.used_bytes(), 0U);
}

TEST_F(SafetensorsSource, ReadsAShortHeaderWithOneRead) {
  store_.Put("x.safetensors", SafetensorsFile({{"a", 1 << 20}}));
  ASSERT_TRUE(ReadSafetensors(store_, {*store_.Stat("x.safetensors")}, budget_));
  EXPECT_EQ(store_.reads(), 1U);
  EXPECT_EQ(store_.read_bytes(), kFirstReadBytes);
}

TEST_F(SafetensorsSource, ReadsALongHeaderWithTwoReadsAndNothingTwice) {
  const auto tensors = ManyTensors(6000);
  const std::string file = SafetensorsFile(tensors);
  store_.Put("x.safetensors", file);
  const auto catalog = ReadSafetensors(store_, {*store_.Stat("x.safetensors")}, budget_);
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_EQ(catalog->tensors.size(), 6000U);
  EXPECT_EQ(store_.reads(), 2U);
  EXPECT_EQ(store_.read_bytes(), file.size() - 6000);
}

TEST_F(SafetensorsSource, RefusesAHeaderThatTheBudgetCannotHold) {
  MemoryBudget small(512ULL * 1024);
  const auto tensors = ManyTensors(3000);
  store_.Put("x.safetensors", SafetensorsFile(tensors));
  EXPECT_EQ(ReadSafetensors(store_, {*store_.Stat("x.safetensors")}, small).error().code,
            Code::kResources);
}

TEST_F(SafetensorsSource, NamesTheFileOfADefect) {
  store_.Put("x.safetensors", SafetensorsFile({{"a", 9}}) + "tail");
  const auto catalog = ReadSafetensors(store_, {*store_.Stat("x.safetensors")}, budget_);
  EXPECT_EQ(PlaceOf(catalog, "file"), "/memory/x.safetensors");
}

TEST_F(SafetensorsSource, RefusesATensorInTwoFilesOfASet) {
  store_.Put("1", SafetensorsFile({{"a", 1}}));
  store_.Put("2", SafetensorsFile({{"a", 1}}));
  const auto catalog = ReadSafetensors(store_, {*store_.Stat("1"), *store_.Stat("2")}, budget_);
  EXPECT_THAT(ErrorText(catalog), AllOf(HasSubstr("/memory/1"), HasSubstr("/memory/2")));
}

TEST_F(SafetensorsSource, JoinsTheShardsOfAnIndex) {
  store_.Put("s1", SafetensorsFile({{"a", 1}, {"c", 2}}));
  store_.Put("sub/s2", SafetensorsFile({{"b", 3}}));
  const auto catalog =
      Index(R"("a":"s1","b":"sub/s2","c":"s1")", R"("metadata":{"total_size":6},)");
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_EQ(catalog->format, "safetensors-index");
  EXPECT_THAT(Names(*catalog), ElementsAre("a", "b", "c"));
  EXPECT_EQ(catalog->objects[catalog->tensors[1].pieces[0].object].name, "sub/s2");
  EXPECT_TRUE(catalog->warnings.empty());
}

TEST_F(SafetensorsSource, LooksForShardsInTheFolderOfTheIndex) {
  store_.Put("m/s1", SafetensorsFile({{"a", 1}}));
  store_.Put("m/" + std::string(kIndex), R"({"weight_map":{"a":"s1"}})");
  const auto catalog = ReadSafetensorsIndex(store_, "m/" + std::string(kIndex), budget_);
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_EQ(catalog->objects[0].name, "m/s1");
}

TEST_F(SafetensorsSource, NamesAllMissingShards) {
  store_.Put("s1", SafetensorsFile({{"a", 1}}));
  const auto catalog = Index(R"("a":"s1","b":"s2","c":"s3")");
  EXPECT_EQ(catalog.error().code, Code::kBadInput);
  EXPECT_THAT(ErrorText(catalog),
              HasSubstr("2 of the 3 shards that the index names are missing: s2, s3"));
  EXPECT_EQ(PlaceOf(catalog, "file"), "/memory/model.safetensors.index.json");
}

TEST_F(SafetensorsSource, NamesTensorAndShardThatDisagree) {
  store_.Put("s1", SafetensorsFile({{"a", 1}}));
  store_.Put("s2", SafetensorsFile({{"b", 1}}));
  const auto catalog = Index(R"("a":"s1","b":"s1","c":"s2")");
  EXPECT_EQ(catalog.error().code, Code::kBadInput);
  EXPECT_THAT(catalog.error().details, ElementsAre("tensor \"b\" is not in /memory/s1",
                                                   "tensor \"c\" is not in /memory/s2"));
}

TEST_F(SafetensorsSource, IgnoresTensorsOutsideTheMapWithAWarning) {
  store_.Put("s1", SafetensorsFile({{"a", 1}, {"x", 1}}));
  store_.Put("s2", SafetensorsFile({{"a", 1}, {"b", 1}}));
  const auto catalog = Index(R"("a":"s1","b":"s2")");
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_THAT(Names(*catalog), ElementsAre("a", "b"));
  EXPECT_THAT(catalog->warnings, ElementsAre(HasSubstr("/memory/s1 holds 1 tensors"),
                                             HasSubstr("/memory/s2 holds 1")));
}

TEST_F(SafetensorsSource, WarnsOfAWrongTotalSize) {
  store_.Put("s1", SafetensorsFile({{"a", 1}}));
  const auto catalog = Index(R"("a":"s1")", R"("metadata":{"total_size":2},)");
  ASSERT_TRUE(catalog) << ErrorText(catalog);
  EXPECT_THAT(catalog->warnings,
              ElementsAre(HasSubstr("total_size is 2, the tensors have 1 bytes")));
}

TEST_F(SafetensorsSource, RefusesShardNamesThatLeaveTheFolder) {
  for (const char* name :
       {"../s1", "/etc/passwd", "a/./s1", "a\\\\s1", "C:s1", "", "a//b", "s\\u0000"}) {
    const auto catalog = Index(fmt::format(R"("a":"{}")", name));
    ASSERT_FALSE(catalog) << name;
    EXPECT_EQ(catalog.error().code, Code::kBadInput) << name;
    EXPECT_THAT(ErrorText(catalog), HasSubstr("unsafe name")) << name;
  }
}

}  // namespace
}  // namespace ckpt
