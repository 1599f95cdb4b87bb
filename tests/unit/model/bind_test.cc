#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/family.h"
#include "model/model.h"
#include "tests/unit/model/make_catalog.h"

namespace ckpt {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr LlamaSizes kSizes = {3, 64, 4, 2, 16, 96, 40};

std::string FailureOf(const NamedShapes& shapes, std::vector<SourceConfig> configs) {
  const Result<Model> model = Bind(shapes, std::move(configs));
  EXPECT_FALSE(model);
  if (model) return {};
  EXPECT_EQ(model.error().code, Code::kBadInput);
  return Text(model.error());
}

TEST(BindModel, MissingTensorIsNamed) {
  NamedShapes shapes = HfShapes(kSizes);
  shapes.erase("model.layers.1.mlp.up_proj.weight");
  shapes.erase("lm_head.weight");
  EXPECT_THAT(FailureOf(shapes, {HfConfig(kSizes)}),
              AllOf(HasSubstr("model.layers.1.mlp.up_proj.weight: missing"),
                    HasSubstr("lm_head.weight: missing, and config.json does not tie it "
                              "(tie_word_embeddings is not true)"),
                    HasSubstr("/models/test/config.json")));
}

TEST(BindModel, TensorMissingInManyLayersIsOneLine) {
  NamedShapes shapes = HfShapes({8, 64, 4, 2, 16, 96, 40});
  for (const int l : {0, 1, 2, 5})
    shapes.erase(fmt::format("model.layers.{}.mlp.up_proj.weight", l));
  EXPECT_THAT(FailureOf(shapes, {HfConfig({8, 64, 4, 2, 16, 96, 40})}),
              HasSubstr("model.layers.{l}.mlp.up_proj.weight (l = 0 to 2, 5): missing"));
}

TEST(BindModel, MissingLayersAreSaidOnce) {
  LlamaSizes claimed = kSizes;
  claimed.layers = 32;
  EXPECT_THAT(
      FailureOf(HfShapes(kSizes), {HfConfig(claimed)}),
      AllOf(HasSubstr("config.json says 32 layers, of layers 3 to 31 the source has no tensor"),
            Not(HasSubstr("q_proj"))));
}

TEST(BindModel, AbsurdNumberOfLayersIsSaidOnceAndQuickly) {
  LlamaSizes claimed = kSizes;
  claimed.layers = uint64_t{1} << 60;
  EXPECT_THAT(FailureOf(HfShapes(kSizes), {HfConfig(claimed)}),
              HasSubstr("of layers 3 to 1152921504606846975"));
}

TEST(BindModel, ExtraLayersAreSaidOnce) {
  LlamaSizes claimed = kSizes;
  claimed.layers = 1;
  EXPECT_THAT(FailureOf(HfShapes(kSizes), {HfConfig(claimed)}),
              AllOf(HasSubstr("config.json says 1 layers, the source also has layers 1 to 2"),
                    Not(HasSubstr("q_proj"))));
}

TEST(BindModel, WrongShapesShowFoundAndExpected) {
  NamedShapes shapes = HfShapes(kSizes);
  shapes["model.layers.2.self_attn.k_proj.weight"] = {31, 64};
  shapes["model.norm.weight"] = {64, 1};
  EXPECT_THAT(FailureOf(shapes, {HfConfig(kSizes)}),
              AllOf(HasSubstr("model.layers.2.self_attn.k_proj.weight: shape [31, 64], expected "
                              "[32, 64] from config.json"),
                    HasSubstr("model.norm.weight: shape [64, 1], expected [64] from config.json")));
}

TEST(BindModel, OneShardOfMetaIsRecognized) {
  NamedShapes shapes = MetaShapes(kSizes);
  for (int l = 0; l < 3; ++l) shapes[fmt::format("layers.{}.attention.wq.weight", l)] = {32, 64};
  SourceConfig config = MetaConfig(kSizes);
  config.values["n_kv_heads"] = int64_t{2};
  EXPECT_THAT(
      FailureOf(shapes, {config}),
      HasSubstr(
          "layers.{l}.attention.wq.weight (l = 0 to 2): shape [32, 64], expected [64, 64] from "
          "params.json: 32 of 64 along axis 0: shard missing?"));
}

TEST(BindModel, UnknownTensorsAreRefusedAndGuessedAt) {
  NamedShapes shapes = HfShapes(kSizes);
  shapes["model.norms.weight"] = shapes["model.norm.weight"];
  shapes.erase("model.norm.weight");
  for (int l = 0; l < 3; ++l)
    shapes[fmt::format("model.layers.{}.self_attn.q_norm.weight", l)] = {16};
  EXPECT_THAT(FailureOf(shapes, {HfConfig(kSizes)}),
              AllOf(HasSubstr("model.norms.weight: family llama knows no such tensor; did you mean "
                              "model.norm.weight?"),
                    HasSubstr("model.layers.{l}.self_attn.q_norm.weight (l = 0 to 2): family llama "
                              "knows no such tensor")));
}

TEST(BindModel, LongListsEndWithACount) {
  NamedShapes shapes = HfShapes(kSizes);
  for (int i = 0; i < 50; ++i) shapes[fmt::format("extra_{}", i)] = {1};
  EXPECT_THAT(FailureOf(shapes, {HfConfig(kSizes)}), HasSubstr("and 30 more"));
}

TEST(BindModel, UnknownArchitectureIsRefusedByItsName) {
  SourceConfig config = HfConfig(kSizes);
  config.values["architectures.0"] = std::string("Qwen2ForCausalLM");
  EXPECT_THAT(FailureOf(HfShapes(kSizes), {config}),
              HasSubstr("architectures Qwen2ForCausalLM belongs to no known family"));
}

TEST(BindModel, ModelTypeDecidesWhereArchitecturesAreAbsent) {
  SourceConfig config = HfConfig(kSizes);
  config.values.erase("architectures.0");
  config.values.erase("architectures.length");
  EXPECT_TRUE(Bind(HfShapes(kSizes), {config}));
}

TEST(BindModel, ForcedFamilyNeedsNoArchitecture) {
  SourceConfig config = HfConfig(kSizes);
  config.values["architectures.0"] = std::string("MyLlama");
  EXPECT_TRUE(BindModel(Shipped(), MakeCatalog(HfShapes(kSizes), {config}), {"llama"}));
  const Result<Model> typo =
      BindModel(Shipped(), MakeCatalog(HfShapes(kSizes), {config}), {"lama"});
  ASSERT_FALSE(typo);
  EXPECT_EQ(typo.error().code, Code::kUsage);
  EXPECT_EQ(typo.error().remedy, "did you mean llama?");
}

TEST(BindModel, MissingConfigurationIsNamedWithTheFamily) {
  EXPECT_THAT(FailureOf(HfShapes(kSizes), {}),
              AllOf(HasSubstr("no config.json beside the weights: family llama needs it"),
                    HasSubstr("h: no configuration")));
  EXPECT_THAT(FailureOf(MetaShapes(kSizes), {}), HasSubstr("no params.json beside the weights"));
}

TEST(BindModel, MissingKeysAreSaidAtOnceWithoutEchoes) {
  const Result<Model> model = Bind(MetaShapes(kSizes), {{"meta", "params.json", {}, "{}"}});
  ASSERT_FALSE(model);  // nothing of k, d and t, which follow from e and h
  EXPECT_THAT(model.error().details,
              ElementsAre("L: params.json has no n_layers", "e: params.json has no dim",
                          "h: params.json has no n_heads"));
}

TEST(BindModel, ValuesThatAreNoDimensionsAreRefused) {
  SourceConfig config = HfConfig(kSizes);
  config.values["hidden_size"] = std::string("large");
  config.values["num_attention_heads"] = int64_t{0};
  EXPECT_THAT(
      FailureOf(HfShapes(kSizes), {config}),
      AllOf(HasSubstr("hidden_size in config.json is large, a positive integer is expected"),
            HasSubstr("num_attention_heads in config.json is 0")));
}

TEST(BindModel, WidthThatHeadsDoNotDivideIsRefused) {
  SourceConfig config = HfConfig(kSizes);
  config.values["num_attention_heads"] = int64_t{7};
  EXPECT_THAT(FailureOf(HfShapes(kSizes), {config}),
              HasSubstr("d: \"e / h\": 64 / 7 is not whole"));
}

// Gemma 3 has all names of Gemma 1 and more.
TEST(BindModel, OfFamiliesThatKnowAllNamesTheOneThatMissesNoneIsMeant) {
  const std::string small = R"(family = "small"
schemes = ["flax"]
[dims]
e = { shape = "a" }
[[tensor]]
role = "a"
flax = { name = "a", layout = "e" }
)";
  std::string large = small + "[[tensor]]\nrole = \"b\"\nflax = { name = \"b\", layout = \"e\" }\n";
  large.replace(large.find("small"), 5, "large");
  const std::vector<std::shared_ptr<const Family>> families = {ParseTable(large),
                                                               ParseTable(small)};
  for (const bool is_large : {false, true}) {
    NamedShapes shapes = {{"a", {4}}};
    if (is_large) shapes["b"] = {4};
    Catalog catalog = MakeCatalog(shapes, {});
    const Result<Model> model = BindModel(families, catalog, {});
    ASSERT_TRUE(model) << model.error().Print();
    EXPECT_EQ(model->family->name(), is_large ? "large" : "small");
  }
}

TEST(BindModel, StrangersAreRefusedWithTheirNames) {
  EXPECT_THAT(FailureOf({{"conv1.weight", {3, 3}}, {"fc.bias", {3}}}, {}),
              AllOf(HasSubstr("the tensors' names fit no known family "
                              "(llama, gemma, gemma2, gemma3, mixtral)"),
                    HasSubstr("conv1.weight, fc.bias")));
  EXPECT_THAT(FailureOf({}, {}), HasSubstr("the source holds no tensors"));
}

TEST(BindModel, StackedAndFusedSourcesBindByTheirSelections) {
  const auto family = Family::Parse(
      "family = \"fused\"\nschemes = [\"hf\"]\n[dims]\nL = { hf = \"layers\" }\ne = { hf = "
      "\"width\" }\n"
      "[[tensor]]\nrole = \"layer.{l}.a\"\nhf = { name = \"ab[0 of 2]\", layout = \"[l] e\" }\n"
      "[[tensor]]\nrole = \"layer.{l}.b\"\nhf = { name = \"ab[1 of 2]\", layout = \"[l] e\" }\n",
      "fused.toml");
  ASSERT_TRUE(family) << family.error().Print();
  const std::vector<std::shared_ptr<const Family>> families = {*family};
  const SourceConfig config = {
      "hf", "config.json", {{"layers", int64_t{3}}, {"width", int64_t{5}}}, "{}"};
  const Result<Model> model = BindModel(families, MakeCatalog({{"ab", {2, 3, 5}}}, {config}), {});
  ASSERT_TRUE(model) << model.error().Print();
  ASSERT_EQ(model->roles.size(), 6U);
  EXPECT_EQ(model->roles[3].instance.role, "layer.1.b");
  EXPECT_EQ(model->roles[3].view, (View{Shape{2, 3, 5}, {5}, {1}, 20}));
}

TEST(BindModel, PartOfATensorThatNoRoleUsesIsAnError) {
  const auto family = Family::Parse(
      "family = \"half\"\nschemes = [\"hf\"]\n[dims]\ne = { hf = \"width\" }\n"
      "[[tensor]]\nrole = \"a\"\nhf = { name = \"ab[0 of 2]\", layout = \"e\" }\n",
      "half.toml");
  ASSERT_TRUE(family) << family.error().Print();
  const std::vector<std::shared_ptr<const Family>> families = {*family};
  const SourceConfig config = {"hf", "config.json", {{"width", int64_t{5}}}, "{}"};
  const Result<Model> model = BindModel(families, MakeCatalog({{"ab", {2, 5}}}, {config}), {});
  ASSERT_FALSE(model);
  EXPECT_THAT(Text(model.error()), HasSubstr("ab: roles use 5 of its elements, shape [2, 5]"));
}

}  // namespace
}  // namespace ckpt
