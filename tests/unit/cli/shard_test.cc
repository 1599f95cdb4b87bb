#include "cli/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "cli/shard_view.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;
using Variables = std::map<std::string, std::string>;

struct Parsed {
  ShardChoice choice;
  size_t faults = 0;
  std::string text;  ///< of the faults; "" where there are none
};

Parsed Parse(const ShardWords& words, const Variables& variables = {}) {
  Parsed parsed;
  Faults faults;
  const Environment environment = [&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  parsed.choice = ParseShard(words, environment, faults);
  if (const Result<void> got = faults.Get(); !got) {
    EXPECT_EQ(got.error().code, Code::kUsage);
    parsed.faults = std::max<size_t>(1, got.error().details.size());
    parsed.text = got.error().Print();
  }
  return parsed;
}

Variables Array(const std::string& id, const std::string& count, const std::string& first,
                const std::string& last, const std::string& step) {
  return {{"SLURM_ARRAY_TASK_ID", id},
          {"SLURM_ARRAY_TASK_COUNT", count},
          {"SLURM_ARRAY_TASK_MIN", first},
          {"SLURM_ARRAY_TASK_MAX", last},
          {"SLURM_ARRAY_TASK_STEP", step}};
}

void ExpectPart(const Parsed& parsed, unsigned index, unsigned count) {
  EXPECT_EQ(parsed.text, "");
  EXPECT_EQ(parsed.choice.index, index);
  EXPECT_EQ(parsed.choice.count, count);
  EXPECT_TRUE(parsed.choice.has_index);
  EXPECT_EQ(parsed.choice.notice, "");
}

TEST(ParseShard, DoesEverythingWithoutWords) {
  const Parsed parsed = Parse({});
  ExpectPart(parsed, 0, 1);
  EXPECT_FALSE(parsed.choice.is_split());
}

TEST(ParseShard, TakesAPartOfN) {
  ExpectPart(Parse({"0/1", ""}), 0, 1);
  ExpectPart(Parse({"2/8", ""}), 2, 8);
  ExpectPart(Parse({"99999/100000", ""}), 99'999, 100'000);
  EXPECT_TRUE(Parse({"2/8", ""}).choice.is_split());
}

TEST(ParseShard, SaysThatPartsAreCountedFromZero) {
  const Parsed parsed = Parse({"8/8", ""});
  EXPECT_THAT(parsed.text, HasSubstr("I counts from 0"));
  EXPECT_THAT(parsed.text, HasSubstr("--shard 7/8"));
}

TEST(ParseShard, RefusesWhatIsNoPart) {
  for (const char* word : {"8", "/8", "2/", "a/8", "2/b", "-1/8", "+1/8", "1/8/2", " 1/8", "1.5/8",
                           "Auto", "99999999999999999999/8", "2/8 "}) {
    const Parsed parsed = Parse({word, ""});
    EXPECT_EQ(parsed.faults, 1U) << word;
    EXPECT_THAT(parsed.text, HasSubstr("--shard")) << word;
  }
}

TEST(ParseShard, RefusesNumbersOfPartsThatAreNone) {
  for (const char* word : {"0/0", "0/100001", "5/4294967297"}) {
    const Parsed parsed = Parse({word, ""});
    EXPECT_EQ(parsed.faults, 1U) << word;
    EXPECT_THAT(parsed.text, HasSubstr("1 to 100000 parts")) << word;
  }
  for (const char* word : {"0", "100001", "-1", "x", "2/8", "4294967297"})
    EXPECT_EQ(Parse({"", word}, {{"JOB_COMPLETION_INDEX", "0"}}).faults, 1U) << word;
}

TEST(ParseShard, RefusesBothWords) {
  const Parsed parsed = Parse({"1/2", "2"}, {{"JOB_COMPLETION_INDEX", "0"}});
  EXPECT_EQ(parsed.faults, 1U);
  EXPECT_THAT(parsed.text, HasSubstr("exclude each other"));
}

TEST(ParseShard, TakesTheIndexOfAnIndexedJob) {
  ExpectPart(Parse({"", "4"}, {{"JOB_COMPLETION_INDEX", "3"}}), 3, 4);
  EXPECT_THAT(Parse({"", "4"}).text, HasSubstr("JOB_COMPLETION_INDEX is not set"));
  EXPECT_THAT(Parse({"", "4"}, {{"JOB_COMPLETION_INDEX", ""}}).text, HasSubstr("is not set"));
  EXPECT_THAT(Parse({"", "4"}, {{"JOB_COMPLETION_INDEX", "4"}}).text, HasSubstr("no part 4 of 4"));
  EXPECT_THAT(Parse({"", "4"}, {{"JOB_COMPLETION_INDEX", "x"}}).text, HasSubstr("holds no number"));
}

TEST(ParseShard, MeansAllPartsWhereNoIndexIsNeeded) {
  const Parsed parsed = Parse({"", "4", false}, {{"JOB_COMPLETION_INDEX", "9"}});
  EXPECT_EQ(parsed.text, "");
  EXPECT_EQ(parsed.choice.count, 4U);
  EXPECT_FALSE(parsed.choice.has_index);
  EXPECT_TRUE(parsed.choice.is_split());
  ExpectPart(Parse({"2/8", "", false}), 2, 8);
}

TEST(ParseShard, AutoTakesATaskOfASlurmArray) {
  ExpectPart(Parse({"auto", ""}, Array("2", "4", "0", "3", "1")), 2, 4);
  ExpectPart(Parse({"auto", ""}, Array("8", "4", "5", "8", "1")), 3, 4);
  ExpectPart(Parse({"auto", ""}, Array("7", "3", "1", "7", "3")), 2, 3);
  ExpectPart(Parse({"auto", ""}, Array("7", "3", "1", "9", "3")), 2, 3);
  ExpectPart(Parse({"auto", ""}, {{"SLURM_ARRAY_TASK_ID", "1"}, {"SLURM_ARRAY_TASK_COUNT", "4"}}),
             1, 4);
}

TEST(ParseShard, AutoRefusesAnArrayWhosePartsAreNotCertain) {
  for (const Variables& variables :
       {Array("7", "3", "0", "7", "1"), Array("0", "3", "0", "7", "1"),
        Array("2", "3", "1", "7", "3"), Array("0", "3", "1", "3", "1"),
        Array("1", "3", "1", "3", "0"), Array("4", "3", "1", "4", "2"),
        Array("1", "x", "1", "3", "1"), Array("1", "0", "1", "3", "1"),
        Array("x", "3", "1", "3", "1"), Variables{{"SLURM_ARRAY_TASK_ID", "1"}}}) {
    const Parsed parsed = Parse({"auto", ""}, variables);
    EXPECT_EQ(parsed.faults, 1U) << parsed.text;
  }
}

TEST(ParseShard, AutoTakesARankOfMpi) {
  ExpectPart(Parse({"auto", ""}, {{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}}), 3,
             4);
  ExpectPart(Parse({"auto", ""}, {{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}}), 0, 2);
  EXPECT_EQ(Parse({"auto", ""}, {{"PMI_RANK", "2"}, {"PMI_SIZE", "2"}}).faults, 1U);
}

TEST(ParseShard, AutoNamesWhatItLookedFor) {
  const Parsed parsed = Parse({"auto", ""}, {{"JOB_COMPLETION_INDEX", "0"}});
  EXPECT_EQ(parsed.faults, 1U);
  for (const char* name : {"SLURM_ARRAY_TASK_ID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "--shards N"})
    EXPECT_THAT(parsed.text, HasSubstr(name));
}

TEST(ParseShard, NoticesThatOthersDoTheSameWork) {
  const Parsed array = Parse({}, Array("2", "4", "0", "3", "1"));
  EXPECT_EQ(array.choice.count, 1U) << "nothing else changes";
  EXPECT_THAT(array.choice.notice, HasSubstr("--shard auto"));
  const Parsed job = Parse({}, {{"JOB_COMPLETION_INDEX", "1"}});
  EXPECT_EQ(job.choice.count, 1U);
  EXPECT_THAT(job.choice.notice, HasSubstr("--shards N"));
  EXPECT_EQ(Parse({}, Array("2", "1", "2", "2", "1")).choice.notice, "") << "an array of one task";
  EXPECT_EQ(Parse({"0/2", ""}, {{"JOB_COMPLETION_INDEX", "1"}}).choice.notice, "");
  EXPECT_EQ(Parse({}, {{"PMI_RANK", "1"}, {"PMI_SIZE", "4"}}).choice.notice, "");
}

TEST(BalanceOf, IsOfWhatIsReadAndWritten) {
  const std::vector<ShardPart> parts = {{1, 10, 5, 15}, {0, 0, 0, 0}, {2, 20, 10, 20}};
  const ShardBalance balance = BalanceOf(parts);
  EXPECT_EQ(balance.least_bytes, 0U);
  EXPECT_EQ(balance.mean_bytes, 15U);
  EXPECT_EQ(balance.most_bytes, 30U);
  EXPECT_EQ(balance.largest_bundle_bytes, 20U);
}

}  // namespace
}  // namespace ckpt
