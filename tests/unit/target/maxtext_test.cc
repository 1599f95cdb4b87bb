#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "target/maxtext/quantized.h"
#include "tests/unit/run/tiny_maxtext.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

using maxtext::QuantLayout;

Result<ChunkedPlan> PlanOf(const TinyMaxText& options) {
  const auto store = std::make_shared<MemoryStore>();
  TinyLlama{}.WriteTo(*store);
  return MakeTinyMaxTextPlan(store, options);
}

const ChunkedArray* Find(const ChunkedOutput& output, const std::string& name) {
  for (const ChunkedArray& array : output.arrays) {
    if (array.name == name) return &array;
  }
  return nullptr;
}

TEST(MaxTextTarget, PutsEachOutputWhereTheContractSays) {
  const auto plan = PlanOf({});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->outputs[0].root + "/" + plan->outputs[0].items, "bf16/scanned/0/items");
  EXPECT_EQ(plan->outputs[1].root + "/" + plan->outputs[1].items,
            "bf16/unscanned/checkpoints/0/items");
  EXPECT_EQ(plan->outputs[2].root, "int8");
  EXPECT_EQ(plan->outputs[2].items, "");
}

TEST(MaxTextTarget, StacksLayersOnAxisOneOrGivesEachItsTree) {
  const auto plan = PlanOf({});
  ASSERT_TRUE(plan);
  const ChunkedArray* scanned =
      Find(plan->outputs[0], "params/params/decoder/layers/mlp/wo/kernel");
  ASSERT_NE(scanned, nullptr);
  EXPECT_EQ(scanned->shape, (Shape{384, 3, 256}));
  EXPECT_EQ(scanned->chunk, (std::vector<uint64_t>{384, 1, 256}));
  const ChunkedArray* unscanned =
      Find(plan->outputs[1], "params/params/decoder/layers_2/mlp/wo/kernel");
  ASSERT_NE(unscanned, nullptr);
  EXPECT_EQ(unscanned->shape, (Shape{384, 256}));
}

TEST(MaxTextTarget, HasAStepAndAnEmptyStateBesideFloatsOnly) {
  const auto plan = PlanOf({});
  ASSERT_TRUE(plan);
  for (const size_t o : {0U, 1U}) {
    const ChunkedArray* step = Find(plan->outputs[o], "step");
    ASSERT_NE(step, nullptr);
    EXPECT_EQ(step->dtype, DType::kI64);
    EXPECT_EQ(step->bytes, std::string(8, '\0'));
    EXPECT_TRUE(step->is_scalar);
    ASSERT_EQ(plan->outputs[o].placeholders.size(), 1U);
    EXPECT_EQ(plan->outputs[o].placeholders[0].kind, "Dict");
  }
  EXPECT_EQ(Find(plan->outputs[2], "step"), nullptr);
  EXPECT_EQ(plan->outputs[2].placeholders.size(), 3U * 7 * 3);
}

TEST(MaxTextTarget, QuantizesProjectionsAndNothingElse) {
  const auto plan = PlanOf({});
  ASSERT_TRUE(plan);
  const ChunkedOutput& int8 = plan->outputs[2];
  const std::string out =
      "params/aqt/decoder/layers_0/self_attention/out/AqtDotGeneral_0/qrhs/frozen/";
  const ChunkedArray* values = Find(int8, out + "qvalue");
  const ChunkedArray* scales = Find(int8, out + "scale/0");
  ASSERT_TRUE(values != nullptr && scales != nullptr);
  EXPECT_EQ(values->shape, (Shape{4, 64, 256}));
  EXPECT_EQ(scales->shape, (Shape{1, 1, 256}));
  EXPECT_TRUE(scales->path.back().is_sequence);
  EXPECT_EQ(std::count_if(int8.arrays.begin(), int8.arrays.end(),
                          [](const ChunkedArray& a) { return a.making == ChunkMaking::kQuantize; }),
            3 * 7);
  EXPECT_NE(Find(int8, "params/params/decoder/logits_dense/kernel"), nullptr);
  EXPECT_EQ(Find(int8, "params/params/decoder/layers_0/mlp/wo/kernel"), nullptr);
}

TEST(MaxTextTarget, TheNnxLayoutIsARenamingWithoutEmptyNodes) {
  TinyMaxText options;
  options.settings.outputs = {"int8"};
  const auto linen = PlanOf(options);
  options.settings.quant_layout = "nnx";
  const auto nnx = PlanOf(options);
  ASSERT_TRUE(linen && nnx);
  EXPECT_EQ(nnx->outputs[0].arrays.size(), linen->outputs[0].arrays.size());
  EXPECT_TRUE(nnx->outputs[0].placeholders.empty());
  EXPECT_NE(
      Find(nnx->outputs[0], "decoder/layers_1/mlp/wi_0/AqtDotGeneral_0/qrhs/frozen/value/scale/0"),
      nullptr);
  EXPECT_NE(Find(nnx->outputs[0], "token_embedder/embedding/value"), nullptr);
  options.settings.outputs = {"int4w"};
  EXPECT_FALSE(PlanOf(options)) << "served as intmp, which the layout cannot be";
}

TEST(MaxTextTarget, WritesTheServersConfigurationBesideWhatNeedsIt) {
  TinyMaxText options;
  options.settings.outputs = {"int8", "int8w", "int4w", "intmp", "fp8"};
  const auto plan = PlanOf(options);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->outputs[0].companions.empty());
  for (size_t o = 1; o < 5; ++o) {
    ASSERT_EQ(plan->outputs[o].companions.size(), 1U);
    const auto json = nlohmann::json::parse(*plan->outputs[o].companions[0].text);
    EXPECT_TRUE(json.at("__default__").contains("w_bits"));
    const std::string flags = plan->outputs[o].how_to_load.front();
    EXPECT_NE(flags.find("quantization=intmp"), std::string::npos);
    EXPECT_NE(flags.find(plan->outputs[o].companions[0].name), std::string::npos);
  }
}

TEST(MaxTextTarget, SaysTheRotarySettingThatAServerWithoutTheNameNeeds) {
  TinyMaxText options;
  options.settings.outputs = {"unscanned"};
  options.settings.rope_layout = "interleaved";
  const auto plan = PlanOf(options);
  ASSERT_TRUE(plan);
  EXPECT_NE(plan->outputs[0].how_to_load[0].find("rope_type=llama3.1"), std::string::npos);
}

TEST(MaxTextTarget, FloatsWithoutRoundingHaveOtherArithmeticThanQuantizedValues) {
  TinyMaxText options;
  options.settings.is_f32 = true;
  const auto plan = PlanOf(options);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->outputs[0].arrays[0].dtype, DType::kF32);
  for (const ChunkedSlice& slice : plan->outputs[0].slices) {
    for (const ValueStep& step : slice.value) EXPECT_EQ(step.type, DType::kF32);
  }
  EXPECT_EQ(Find(plan->outputs[2], "params/params/decoder/decoder_norm/scale")->dtype,
            DType::kBF16);
}

TEST(MaxTextTarget, OutputsMayNotLieInEachOther) {
  TinyMaxText options;
  options.settings.roots = {{"scanned", "a"}, {"int8", "a/b"}};
  EXPECT_FALSE(PlanOf(options));
}

}  // namespace
}  // namespace ckpt
