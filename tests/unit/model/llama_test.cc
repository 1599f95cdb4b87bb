// models/llama.toml, held to names and shapes written out by hand (those of the goldens) and to row
// formulas.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/family.h"
#include "model/model.h"
#include "tests/sanitized.h"
#include "tests/unit/model/make_catalog.h"

namespace ckpt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

/// name -> shape of the whole model in a scheme.
NamedShapes ShapesIn(const Model& model, std::string_view scheme) {
  NamedShapes shapes;
  for (const BoundRole& role : model.roles) {
    const CellInstance cell = CellOf(model, role, scheme);
    if (cell.name.empty()) continue;
    EXPECT_TRUE(IsBijection(cell.view));
    EXPECT_TRUE(shapes.emplace(cell.name, cell.view.tensor).second) << cell.name;
  }
  return shapes;
}

TEST(Llama, TableIsProved) {
  const Result<FamilyProof> proof = CheckFamily(*Shipped().at(0));
  ASSERT_TRUE(proof) << proof.error().Print();
  EXPECT_EQ(proof->rows, 13U + 2);             // step and opt_state
  EXPECT_EQ(proof->schemes, 5U + 1);           // and maxtext-unscanned
  EXPECT_EQ(proof->pairs, 12U * (6 * 5) + 2);  // rope_freqs stands in two
  EXPECT_EQ(proof->models, 4U);
}

TEST(ShippedFamilies, AreProved) {
  std::vector<std::string> names;
  for (const auto& family : Shipped()) {
    if (names.size() % kCaseStep == 0) {
      const Result<FamilyProof> proof = CheckFamily(*family);
      EXPECT_TRUE(proof) << proof.error().Print();
    }
    names.push_back(family->name());
  }
  EXPECT_THAT(names, testing::ElementsAre("llama", "gemma", "gemma2", "gemma3", "mixtral"));
}

TEST(Llama, HfGoldenBecomesTheGoldenOutputsNamesAndShapes) {
  const Result<Model> model = Bind(HfShapes(kLlama3HfGolden), {HfConfig(kLlama3HfGolden)});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(model->source_scheme, "hf");
  NamedShapes expected = MetaShapes(kLlama3HfGolden);
  expected.erase("rope.freqs");
  EXPECT_EQ(ShapesIn(*model, "jetstream-pytorch"), expected);
  EXPECT_EQ(ShapesIn(*model, "hf"), HfShapes(kLlama3HfGolden));
  EXPECT_TRUE(model->warnings.empty());
}

TEST(Llama, MetaGoldenKeepsItsNamesAndRopeFreqs) {
  const Result<Model> model = Bind(MetaShapes(kLlama2MetaGolden), {MetaConfig(kLlama2MetaGolden)});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(model->source_scheme, "meta");
  EXPECT_EQ(ShapesIn(*model, "jetstream-pytorch"), MetaShapes(kLlama2MetaGolden));
  EXPECT_EQ(ShapesIn(*model, "hf"), HfShapes(kLlama2MetaGolden));
}

TEST(Llama, VocabularyOfMinusOneIsTheEmbeddingsRows) {
  const Result<Model> model = Bind(MetaShapes(kLlama2MetaGolden), {MetaConfig(kLlama2MetaGolden)});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(model->dims, (Dims{{"L", 2},
                               {"e", 128},
                               {"h", 4},
                               {"k", 4},
                               {"d", 32},
                               {"f", 256},
                               {"v", 64},
                               {"V", 64},
                               {"p", 2},
                               {"t", 16}}));
}

TEST(Llama, RolesComeInCanonicalOrder) {
  const Result<Model> model = Bind(HfShapes(kLlama3HfGolden), {HfConfig(kLlama3HfGolden)});
  ASSERT_TRUE(model);
  std::vector<std::string> roles;
  std::vector<std::string> together;
  for (const BoundRole& role : model->roles) {
    roles.push_back(role.instance.role);
    together.push_back(model->family->rows()[role.instance.row].together);
  }
  EXPECT_THAT(
      roles, ElementsAre("token_embedding", "layer.0.attention_norm", "layer.0.attention.q",
                         "layer.0.attention.k", "layer.0.attention.v", "layer.0.attention.o",
                         "layer.0.feed_forward_norm", "layer.0.feed_forward.gate",
                         "layer.0.feed_forward.up", "layer.0.feed_forward.down", "norm", "output"));
  EXPECT_THAT(together,
              ElementsAre("", "", "qkv", "qkv", "qkv", "", "", "gate_up", "gate_up", "", "", ""));
}

TEST(Llama, LayersFollowEachOther) {
  const Result<Model> model =
      Bind(HfShapes({12, 8, 2, 1, 4, 6, 5}), {HfConfig({12, 8, 2, 1, 4, 6, 5})});
  ASSERT_TRUE(model) << model.error().Print();
  ASSERT_EQ(model->roles.size(), 12U * 9 + 3);
  EXPECT_EQ(model->roles[1 + 9 * 2].instance.role, "layer.2.attention_norm");
  EXPECT_EQ(model->roles[1 + 9 * 10].instance.role, "layer.10.attention_norm");
}

/// Row of the source that row `row` of the converted wq or wk holds, by the original converter's
/// formula.
uint64_t OriginalRow(uint64_t row, uint64_t d) {
  const uint64_t in_head = row % d;
  return row / d * d + in_head % 2 * (d / 2) + in_head / 2;
}

TEST(Llama, RotaryRowsArePermutedWithinTheHeadsOwnWidth) {
  // Head width 64: the original converter hard-codes 128 and mixes heads.
  const Result<Model> model = Bind(HfShapes(kLlama32Of1B), {HfConfig(kLlama32Of1B)});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(model->dims.at("d"), 64U);
  for (const auto& [name, heads] : {std::pair("q", size_t{32}), std::pair("k", size_t{8})}) {
    const BoundRole* const role = FindRole(*model, fmt::format("layer.1.attention.{}", name));
    ASSERT_NE(role, nullptr);
    const CellInstance cell = CellOf(*model, *role, "jetstream-pytorch");
    std::vector<uint64_t> source_rows(heads * 64);
    const std::vector<Axis>& axes = role->instance.axes;  // h p t e
    for (uint64_t h = 0; h < axes[0].extent; ++h) {
      for (uint64_t p = 0; p < 2; ++p) {
        for (uint64_t t = 0; t < 32; ++t) {
          const auto row = [&](const View& v) {
            return (h * v.strides[0] + p * v.strides[1] + t * v.strides[2]) / 2048;
          };
          source_rows[row(cell.view)] = row(role->view);
        }
      }
    }
    for (uint64_t row = 0; row < source_rows.size(); ++row)
      ASSERT_EQ(source_rows[row], OriginalRow(row, 64)) << row;
  }
}

TEST(Llama, OtherWeightsAreCopies) {
  const Result<Model> model = Bind(HfShapes(kLlama32Of1B), {HfConfig(kLlama32Of1B)});
  ASSERT_TRUE(model);
  for (const BoundRole& role : model->roles) {
    const CellInstance cell = CellOf(*model, role, "jetstream-pytorch");
    const bool is_rotary = role.instance.role.ends_with(".q") || role.instance.role.ends_with(".k");
    EXPECT_EQ(Compose(role.view, cell.view).axes.size(), is_rotary ? 4U : 1U) << role.instance.role;
  }
}

TEST(Llama, HeadWidthOfTheConfigurationWins) {
  const LlamaSizes sizes = {1, 64, 4, 2, 32, 96, 40};  // d = 32, e / h = 16
  SourceConfig config = HfConfig(sizes);
  config.values["head_dim"] = int64_t{32};
  const Result<Model> model = Bind(HfShapes(sizes), {config});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(FindRole(*model, "layer.0.attention.o")->view.tensor, (Shape{64, 128}));
}

TEST(Llama, KeyValueHeadsDefaultToHeads) {
  const LlamaSizes sizes = {1, 64, 4, 4, 16, 96, 40};
  SourceConfig config = HfConfig(sizes);
  config.values.erase("num_key_value_heads");
  EXPECT_TRUE(Bind(HfShapes(sizes), {config}));
}

TEST(Llama, TiedHeadReadsTheEmbedding) {
  NamedShapes shapes = HfShapes(kLlama32Of1B);
  shapes.erase("lm_head.weight");
  SourceConfig config = HfConfig(kLlama32Of1B);
  config.values["tie_word_embeddings"] = true;
  const Result<Model> model = Bind(shapes, {config});
  ASSERT_TRUE(model) << model.error().Print();
  const BoundRole* const output = FindRole(*model, "output");
  ASSERT_NE(output, nullptr);
  EXPECT_EQ(output->tied_to, "token_embedding");
  EXPECT_EQ(output->tensor, FindRole(*model, "token_embedding")->tensor);
  EXPECT_EQ(model->facts.at("tied"), "true");
  EXPECT_THAT(ShapesIn(*model, "jetstream-pytorch"),
              testing::Contains(testing::Key("output.weight")));
}

TEST(Llama, StoredHeadIsUsedThoughTheConfigurationTies) {
  SourceConfig config = HfConfig(kLlama32Of1B);
  config.values["tie_word_embeddings"] = true;
  const Result<Model> model = Bind(HfShapes(kLlama32Of1B), {config});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(FindRole(*model, "output")->tied_to, "");
  EXPECT_THAT(
      model->warnings,
      ElementsAre(HasSubstr("ties lm_head.weight to token_embedding (tie_word_embeddings)")));
}

TEST(Llama, MetaWithoutOutputIsAnError) {
  NamedShapes shapes = MetaShapes(kLlama2MetaGolden);
  shapes.erase("output.weight");
  const Result<Model> model = Bind(shapes, {MetaConfig(kLlama2MetaGolden)});
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().details, ElementsAre("output.weight: missing"));
}

TEST(Llama, GgufWithoutOutputIsTiedAndRopeFreqsAreIgnored) {
  const Result<Model> model = Bind(GgufShapes(kLlama32Of1B), {GgufConfig(kLlama32Of1B)});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(model->source_scheme, "gguf");
  EXPECT_EQ(FindRole(*model, "output")->tied_to, "token_embedding");
  EXPECT_THAT(model->ignored, ElementsAre("rope_freqs.weight"));
  EXPECT_EQ(model->facts.at("rope_scaling"), "llama3");
  EXPECT_EQ(model->dims.at("v"), 1024U);
  EXPECT_EQ(ShapesIn(*model, "hf"), HfShapes(kLlama32Of1B));
}

TEST(Llama, GgufPairsAreJetstreamsPairs) {
  const Result<Model> model = Bind(GgufShapes(kLlama32Of1B), {GgufConfig(kLlama32Of1B)});
  ASSERT_TRUE(model);
  for (const BoundRole& role : model->roles) {
    const CellInstance cell = CellOf(*model, role, "jetstream-pytorch");
    EXPECT_EQ(role.view, cell.view) << role.instance.role;
  }
}

TEST(Llama, MixtralInGgufIsRefused) {
  NamedShapes shapes = GgufShapes(kLlama32Of1B);
  shapes["blk.0.ffn_gate_exps.weight"] = {8, 8192, 2048};
  const Result<Model> model = Bind(shapes, {GgufConfig(kLlama32Of1B)});
  ASSERT_FALSE(model);
  EXPECT_THAT(Text(model.error()), HasSubstr("a mixture of experts is not of family llama"));
}

TEST(Llama, AttentionBiasIsRefusedOnceForAllLayers) {
  NamedShapes shapes = HfShapes(kLlama32Of1B);
  for (int l = 0; l < 2; ++l)
    shapes[fmt::format("model.layers.{}.self_attn.q_proj.bias", l)] = {2048};
  const Result<Model> model = Bind(shapes, {HfConfig(kLlama32Of1B)});
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().details,
              ElementsAre("model.layers.{l}.self_attn.q_proj.bias (l = 0 to 1): attention bias "
                          "is not supported by the server"));
}

TEST(Llama, OldInvFreqTensorsAreIgnored) {
  NamedShapes shapes = HfShapes(kLlama3HfGolden);
  shapes["model.layers.0.self_attn.rotary_emb.inv_freq"] = {64};
  const Result<Model> model = Bind(shapes, {HfConfig(kLlama3HfGolden)});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_THAT(model->ignored, ElementsAre("model.layers.0.self_attn.rotary_emb.inv_freq"));
}

TEST(Llama, RopeScalingIsAFactWhateverItsSpelling) {
  const auto scaling = [](const NamedShapes& shapes, const SourceConfig& config) {
    const Result<Model> model = Bind(shapes, {config});
    EXPECT_TRUE(model) << model.error().Print();
    return model ? model->facts.at("rope_scaling") : "";
  };
  SourceConfig config = HfConfig(kLlama3HfGolden);
  EXPECT_EQ(scaling(HfShapes(kLlama3HfGolden), config), "none");
  config.values["rope_scaling.rope_type"] = std::string("llama3");
  EXPECT_EQ(scaling(HfShapes(kLlama3HfGolden), config), "llama3");
  SourceConfig meta = MetaConfig(kLlama2MetaGolden);
  meta.values["use_scaled_rope"] = true;
  EXPECT_EQ(scaling(MetaShapes(kLlama2MetaGolden), meta), "llama3");
}

TEST(Llama, QuantizationClassesAreTheServers) {
  const Result<Model> model = Bind(MetaShapes(kLlama2MetaGolden), {MetaConfig(kLlama2MetaGolden)});
  ASSERT_TRUE(model);
  std::map<std::string, int> classes;
  for (const BoundRole& role : model->roles) {
    ++classes[CellOf(*model, role, "jetstream-pytorch").quantize];
  }
  EXPECT_EQ(classes,
            (std::map<std::string, int>{{"", 2 * 2 + 2}, {"embedding", 1}, {"linear", 2 * 7 + 1}}));
}

TEST(Llama, MetaNamesWithAConfigJsonBindToo) {
  NamedShapes shapes = MetaShapes(kLlama3HfGolden);
  const Result<Model> model = Bind(shapes, {HfConfig(kLlama3HfGolden)});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(model->source_scheme, "meta");
}

TEST(CellIn, NamesTheSchemesThatThereAre) {
  const Result<Model> model = Bind(HfShapes(kLlama3HfGolden), {HfConfig(kLlama3HfGolden)});
  ASSERT_TRUE(model);
  const auto cell = CellIn(*model, model->roles[0].instance, "jetstream-pytorh");
  ASSERT_FALSE(cell);
  EXPECT_EQ(cell.error().code, Code::kUsage);
  EXPECT_EQ(cell.error().remedy, "did you mean jetstream-pytorch?");
}

TEST(CellIn, SaysNothingWhereTheRowHasNoCell) {
  const Result<Model> model = Bind(MetaShapes(kLlama2MetaGolden), {MetaConfig(kLlama2MetaGolden)});
  ASSERT_TRUE(model);
  const auto cell = CellIn(*model, FindRole(*model, "rope_freqs")->instance, "hf");
  ASSERT_TRUE(cell);
  EXPECT_FALSE(*cell);
}

}  // namespace
}  // namespace ckpt
