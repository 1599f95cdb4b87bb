#include "plan/plan.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "plan/memory.h"
#include "plan/tile.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/run/tiny_llama.h"

namespace ckpt {
namespace {

class PlanTest : public testing::Test {
 protected:
  PlanTest() {
    auto store = OpenFileStore(*Uri::Parse(folder_.path()));
    EXPECT_TRUE(store);
    store_ = std::move(*store);
  }
  Plan Make(const TinyPlanOptions& options) {
    auto plan = MakeTinyPlan(store_, options);
    EXPECT_TRUE(plan) << plan.error().Print();
    return *std::move(plan);
  }
  TempFolder folder_;
  std::shared_ptr<Store> store_;
};

TEST_F(PlanTest, SegmentsCoverTheFileOnceInOrder) {
  TinyLlama{}.WriteTo(*store_);
  for (const std::string quantize : {"", "int8_per_channel", "int4_blockwise"}) {
    const Plan plan = Make({quantize, 20000});
    EXPECT_GE(plan.bundles.size(), 10U);
    ASSERT_EQ(plan.commits.size(), 1U);
    uint64_t at = plan.commits[0].segment.end;
    EXPECT_EQ(plan.front.segment.begin, at);
    at = plan.front.segment.end;
    uint32_t number = 1;
    for (const Bundle& bundle : plan.bundles) {
      EXPECT_EQ(bundle.number, number++);
      EXPECT_EQ(bundle.segment.begin, at);
      EXPECT_GT(bundle.segment.size(), 0U);
      at = bundle.segment.end;
    }
    EXPECT_EQ(at, plan.output.files[0].size_bytes);
  }
}

TEST_F(PlanTest, TheFrontIsAtLeastEightMebibytesOfWholeBands) {
  TinyLlama model;
  model.dim = 1024;
  model.vocab = 9000;
  model.WriteTo(*store_);
  const Plan plan = Make({"", 1 << 20, 2, 128ULL << 20, kFrontBytes});
  EXPECT_GE(plan.front.segment.end, kFrontBytes);
  EXPECT_FALSE(plan.bundles.empty());
}

TEST_F(PlanTest, ScalesAndWhatStandsBetweenThemAreTheHead) {
  TinyLlama{}.WriteTo(*store_);
  const Plan plan = Make({"int8_per_channel"});
  size_t scales = 0;
  ASSERT_EQ(plan.commits.size(), 1U);
  for (const size_t array : plan.commits[0].arrays)
    scales += plan.output.arrays[array].encoding == Encoding::kScales ? 1 : 0;
  EXPECT_EQ(scales, 2U + 3 * 7);
  const Plan plain = Make({""});
  EXPECT_EQ(plain.commits.at(0).segment.end, plain.output.files[0].header.size())
      << "nothing but the header without scales";
}

TEST_F(PlanTest, DigestsHoldWhatTheyShouldAndNothingElse) {
  TinyLlama{}.WriteTo(*store_);
  const Plan base = Make({"int8_per_channel"});
  const Plan resources = Make({"int8_per_channel", 64 << 10, 7, 512ULL << 20});
  EXPECT_EQ(base.layout_digest, resources.layout_digest);
  EXPECT_EQ(base.run_digest, resources.run_digest);
  EXPECT_NE(base.layout_digest, Make({"int8_per_channel", 1 << 20}).layout_digest)
      << "bundle borders";
  EXPECT_NE(base.layout_digest, Make({"int4_per_channel"}).layout_digest)
      << "settings that change arrays";
  ASSERT_TRUE(WriteSmallObject(*store_, "model.safetensors", TinyLlama{}.File(),
                               {.is_create_only = false}));
  const Plan touched = Make({"int8_per_channel"});
  EXPECT_EQ(base.layout_digest, touched.layout_digest);
  EXPECT_NE(base.run_digest, touched.run_digest) << "the source's identity";
}

TEST_F(PlanTest, TotalsAreExact) {
  TinyLlama model;
  model.is_tied = true;
  model.WriteTo(*store_);
  const uint64_t embedding = model.vocab * model.dim * 2;
  uint64_t tensors = 0;
  for (const auto& tensor : model.Tensors()) tensors += *TensorBytes(tensor.dtype, tensor.shape);
  const Plan plan = Make({"int8_per_channel"});
  EXPECT_EQ(plan.totals.source_tensor_bytes, tensors);
  EXPECT_EQ(plan.totals.read_again_bytes, 2 * embedding) << "the tied head, and the column maxima";
  EXPECT_EQ(plan.totals.read_bytes, tensors + 2 * embedding + plan.catalog.header_bytes);
  EXPECT_EQ(plan.totals.written_bytes, plan.output.FileBytes());
}

TEST_F(PlanTest, ThePeakStaysWithinTheBudget) {
  TinyLlama{}.WriteTo(*store_);
  for (const unsigned threads : {1U, 2U, 16U, 200U}) {
    const Plan plan = Make({"int8_blockwise", 64 << 10, threads});
    EXPECT_LE(plan.memory.peak_bytes, plan.memory.budget_bytes);
    EXPECT_GE(plan.memory.lanes, 1U);
    EXPECT_LE(plan.memory.lanes, threads);
  }
}

TEST_F(PlanTest, ATileTakesAWholeHeadOfAPermutedArray) {
  TinyLlama model;
  model.layers = 1;
  model.heads = 2;
  model.kv_heads = 2;
  model.dim = 1536;  // 768 rows of 3072 bytes are more than an ordinary tile
  const auto header = safetensors::EncodeHeader(model.Tensors(), std::nullopt);
  ASSERT_TRUE(header);
  ASSERT_TRUE(WriteSmallObject(*store_, "config.json", model.Config(), {}));
  ASSERT_TRUE(WriteSmallObject(*store_, "model.safetensors", header->bytes, {}));
  std::filesystem::resize_file(folder_.path() + "/model.safetensors",
                               header->bytes.size() + header->data_bytes);
  const Plan plan = Make({""});
  size_t permuted = 0;
  for (const ArrayPlan& array : plan.arrays) {
    if (array.rows.axes.size() < 2) continue;
    ++permuted;
    EXPECT_EQ(RowsPerTile(array, plan.catalog.tensors[array.tensor], plan.memory.tile_in_bytes,
                          plan.memory.tile_out_bytes - 2 * kIoAlignment),
              model.dim / model.heads);
  }
  EXPECT_EQ(permuted, 2U) << "query and key";
}

TEST_F(PlanTest, ABudgetThatIsTooSmallNamesTheLeast) {
  TinyLlama{}.WriteTo(*store_);
  const auto plan = MakeTinyPlan(store_, {"", 64 << 10, 2, 1ULL << 20});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Code::kUsage);
  EXPECT_NE(plan.error().remedy.find("--memory 128MiB"), std::string::npos) << plan.error().remedy;
}

TEST_F(PlanTest, BlockwiseNamesTheTensorThatHasNoWholeBlocks) {
  TinyLlama model;
  model.mlp = 192;
  model.WriteTo(*store_);
  const auto plan = MakeTinyPlan(store_, {"int8_blockwise"});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Code::kUsage);
  ASSERT_EQ(plan.error().details.size(), 3U) << "one w2 a layer";
  EXPECT_NE(plan.error().details[0].find("layers.0.feed_forward.w2.weight"), std::string::npos);
  EXPECT_NE(plan.error().details[0].find("192"), std::string::npos);
}

TEST(DefaultMemory, GrowsWithCoresAndStaysBelowHalfOfTheMachine) {
  EXPECT_EQ(DefaultMemoryBytes(2, 24ULL << 30), 512ULL << 20);
  EXPECT_EQ(DefaultMemoryBytes(14, 64ULL << 30), 2ULL << 30);
  EXPECT_EQ(DefaultMemoryBytes(14, 1ULL << 30), 512ULL << 20);
  EXPECT_EQ(DefaultMemoryBytes(2, 128ULL << 20), 128ULL << 20);
}

}  // namespace
}  // namespace ckpt
