#include "plan/shards.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "plan/read_bytes.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/run/tiny_maxtext.h"

namespace ckpt {
namespace {

struct Dealing {
  std::vector<uint64_t> weights;
  std::vector<uint32_t> groups;
  unsigned shards = 1;
};

// Weights of many sizes, some of them bound together.
Dealing Random(std::mt19937_64& random) {
  Dealing made;
  const size_t count = random() % 200;
  const uint64_t most = 1ULL << (1 + random() % 40);
  for (size_t i = 0; i < count; ++i) {
    made.weights.push_back(random() % most);
    made.groups.push_back(
        static_cast<uint32_t>(i > 0 && random() % 3 == 0 ? made.groups[random() % i] : i));
  }
  made.shards = static_cast<unsigned>(1 + random() % 40);
  return made;
}

std::vector<uint64_t> LoadsOf(const Dealing& made, const std::vector<uint32_t>& dealt) {
  std::vector<uint64_t> loads(made.shards);
  for (size_t i = 0; i < dealt.size(); ++i) loads[dealt[i]] += made.weights[i];
  return loads;
}

TEST(Deal, GivesEveryWeightToOneShardAndGroupsStayTogether) {
  std::mt19937_64 random(1);
  for (int run = 0; run < 500; ++run) {
    const Dealing made = Random(random);
    const std::vector<uint32_t> dealt = Deal(made.weights, made.groups, made.shards);
    ASSERT_EQ(dealt.size(), made.weights.size());
    for (size_t i = 0; i < dealt.size(); ++i) {
      EXPECT_LT(dealt[i], made.shards);
      EXPECT_EQ(dealt[i], dealt[made.groups[i]]);
    }
    EXPECT_EQ(dealt, Deal(made.weights, made.groups, made.shards)) << "the same again";
  }
}

TEST(Deal, LeavesNoShardMoreThanTheMeanAndOneGroup) {
  std::mt19937_64 random(2);
  for (int run = 0; run < 500; ++run) {
    const Dealing made = Random(random);
    std::map<uint32_t, uint64_t> groups;
    for (size_t i = 0; i < made.weights.size(); ++i) groups[made.groups[i]] += made.weights[i];
    uint64_t heaviest = 0;
    for (const auto& [group, weight] : groups) heaviest = std::max(heaviest, weight);
    const uint64_t all = std::accumulate(made.weights.begin(), made.weights.end(), uint64_t{0});
    for (const uint64_t load : LoadsOf(made, Deal(made.weights, made.groups, made.shards)))
      EXPECT_LE(load, all / made.shards + heaviest);
  }
}

TEST(Deal, PutsTheHeaviestFirstAndBreaksTiesByNumber) {
  const std::vector<uint64_t> weights = {1, 5, 1, 5, 4};
  EXPECT_EQ(Deal(weights, {}, 2), (std::vector<uint32_t>{1, 0, 1, 1, 0}));
  EXPECT_EQ(Deal(weights, {}, 1), (std::vector<uint32_t>(5, 0)));
  const std::vector<uint32_t> groups = {0, 1, 2, 1, 4};
  EXPECT_EQ(Deal(weights, groups, 2), (std::vector<uint32_t>{1, 0, 1, 0, 1}));
}

TEST(Deal, LeavesShardsEmptyWhereThereIsTooLittle) {
  const std::vector<uint64_t> weights = {3, 2};
  EXPECT_EQ(Deal(weights, {}, 100'000), (std::vector<uint32_t>{0, 1}));
  EXPECT_TRUE(Deal({}, {}, 3).empty());
}

class ShardsTest : public testing::Test {
 protected:
  ShardsTest() : store_(*OpenFileStore(*Uri::Parse(folder_.path()))) {
    model_.vocab = 80'000;  // an embedding of several bands
    const auto header = safetensors::EncodeHeader(model_.Tensors(), std::nullopt);
    EXPECT_TRUE(WriteSmallObject(*store_, "config.json", model_.Config(), {}));
    EXPECT_TRUE(WriteSmallObject(*store_, "model.safetensors", header->bytes, {}));
    std::filesystem::resize_file(folder_.path() + "/model.safetensors",
                                 header->bytes.size() + header->data_bytes);
  }
  Plan Make(const TinyPlanOptions& options) {
    auto plan = MakeTinyPlan(store_, options);
    EXPECT_TRUE(plan) << plan.error().Print();
    return *std::move(plan);
  }
  ChunkedPlan MakeChunked(const TinyMaxText& options) {
    auto plan = MakeTinyMaxTextPlan(store_, options);
    EXPECT_TRUE(plan) << plan.error().Print();
    return *std::move(plan);
  }

  TinyLlama model_;
  TempFolder folder_;
  std::shared_ptr<Store> store_;
};

TEST_F(ShardsTest, WhatBundlesReadIsTheTotalOfThePlan) {
  for (const std::string quantize : {"", "int8_per_channel", "int4_blockwise"}) {
    const Plan plan = Make({quantize, 20000});
    ASSERT_GE(plan.bundles.size(), 10U);
    uint64_t bytes = plan.totals.header_bytes + plan.front.read_bytes;
    for (size_t i = 0; i < plan.bundles.size(); ++i) bytes += BundleReadBytes(plan, i);
    for (const size_t i : plan.commits.at(0).arrays) {
      if (plan.output.arrays[i].encoding != Encoding::kScales)
        bytes += ReadingOf(plan, {i, 0, plan.arrays[i].rows.n_rows}).bytes;
    }
    EXPECT_EQ(bytes, plan.totals.read_bytes) << quantize;
  }
  TinyMaxText options;
  options.bundle_bytes = 100'000;
  const ChunkedPlan plan = MakeChunked(options);
  ASSERT_GE(plan.bundles.size(), 10U);
  uint64_t bytes = plan.totals.header_bytes;
  for (size_t i = 0; i < plan.bundles.size(); ++i) bytes += BundleReadBytes(plan, i);
  EXPECT_EQ(bytes, plan.totals.read_bytes);
}

TEST_F(ShardsTest, ATensorWithAStatisticIsDealtToOneShard) {
  const Plan plan = Make({"int8_per_channel", 20000});
  for (const unsigned shards : {1U, 2U, 3U, 7U, 16U, 100U}) {
    const std::vector<uint32_t> dealt = DealBundles(plan, shards);
    ASSERT_EQ(dealt.size(), plan.bundles.size());
    std::map<size_t, std::set<uint32_t>> holders;  // by array
    for (size_t i = 0; i < dealt.size(); ++i) {
      EXPECT_LT(dealt[i], shards);
      for (const RowSpan& span : plan.bundles[i].spans) {
        if (plan.output.arrays[span.array].encoding == Encoding::kQuantColumns)
          holders[span.array].insert(dealt[i]);
      }
    }
    ASSERT_EQ(holders.size(), 1U) << "the embedding";
    EXPECT_EQ(holders.begin()->second.size(), 1U);
    const std::vector<ShardPart> parts = PartsOf(plan, shards);
    EXPECT_EQ(std::count_if(parts.begin(), parts.end(),
                            [](const ShardPart& part) { return part.has_statistic; }),
              1);
    EXPECT_TRUE(shards > 7 || std::set(dealt.begin(), dealt.end()).size() == shards);
  }
}

TEST_F(ShardsTest, TheDealDoesNotDependOnTheMachine) {
  for (const std::string quantize : {"", "int8_per_channel", "int8_blockwise"}) {
    const Plan one = Make({quantize, 20000, 1, 128ULL << 20});
    const Plan other = Make({quantize, 20000, 16, 1ULL << 30});
    ASSERT_EQ(one.run_digest, other.run_digest);
    for (size_t i = 0; i < one.bundles.size(); ++i)
      EXPECT_EQ(BundleWeight(one, i), BundleWeight(other, i));
    EXPECT_EQ(DealBundles(one, 5), DealBundles(other, 5));
  }
  TinyMaxText options;
  options.bundle_bytes = 100'000;
  const ChunkedPlan one = MakeChunked(options);
  options.threads = 16;
  options.memory_bytes = 1ULL << 30;
  const ChunkedPlan other = MakeChunked(options);
  ASSERT_EQ(one.run_digest, other.run_digest);
  EXPECT_EQ(DealBundles(one, 5), DealBundles(other, 5));
}

TEST_F(ShardsTest, PartsHoldAllThatBundlesReadAndWrite) {
  const Plan plan = Make({"int8_per_channel", 20000});
  ShardPart sum;
  for (const ShardPart& part : PartsOf(plan, 7)) {
    sum.bundles += part.bundles;
    sum.read_bytes += part.read_bytes;
    sum.written_bytes += part.written_bytes;
  }
  EXPECT_EQ(sum.bundles, plan.bundles.size());
  EXPECT_EQ(sum.written_bytes, plan.output.FileBytes() - plan.front.segment.end);
  uint64_t read = 0;
  for (size_t i = 0; i < plan.bundles.size(); ++i) read += BundleReadBytes(plan, i);
  EXPECT_EQ(sum.read_bytes, read);
}

TEST_F(ShardsTest, TheMostThatIsOpenHoldsWholeStatisticsAndWhatIsReadAhead) {
  const uint64_t embedding = model_.vocab * model_.dim * 2;
  const auto most_of = [](const Plan& plan) {
    uint64_t most = plan.front.read_bytes;
    for (size_t i = 0; i < plan.bundles.size(); ++i)
      most = std::max(most, BundleReadBytes(plan, i));
    return most;
  };
  const Plan plan = Make({"int8_per_channel", 20000});
  ASSERT_LT(most_of(plan), embedding);
  EXPECT_GT(MostOpenReadBytes(plan), embedding);
  EXPECT_LE(MostOpenReadBytes(plan), plan.totals.read_bytes);
  const Plan plain = Make({"", 20000});
  EXPECT_GE(MostOpenReadBytes(plain), plain.memory.lanes * most_of(plain));
  EXPECT_LE(MostOpenReadBytes(plain), plain.memory.lanes * most_of(plain) * kInputBuffersPerLane);
}

}  // namespace
}  // namespace ckpt
