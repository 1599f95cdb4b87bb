// The scheme maxtext of models/llama.toml, held to names, shapes and formulas written out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/family.h"
#include "model/model.h"
#include "tests/unit/model/make_catalog.h"

namespace ckpt {
namespace {

using Kind = ValueStep::Kind;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// That of tests/golden/maxtext/llama3.1.
constexpr LlamaSizes kGolden = {3, 64, 4, 2, 16, 128, 256};

Model BindHf(const LlamaSizes& sizes, const BindOptions& options = {}) {
  Result<Model> model = Bind(HfShapes(sizes), {HfConfig(sizes)}, options);
  EXPECT_TRUE(model) << model.error().Print();
  return model.value_or(Model{});
}

/// name -> shape of all that the scheme holds. Stacked arrays must be told alike by all layers.
NamedShapes AllShapes(const Model& model, std::string_view scheme) {
  NamedShapes shapes;
  for (const BoundRole& role : model.roles) {
    const CellInstance cell = CellOf(model, role, scheme);
    const auto [at, is_new] = shapes.emplace(cell.name, cell.view.tensor);
    EXPECT_TRUE(is_new || (cell.layer_axis && at->second == cell.view.tensor)) << cell.name;
  }
  const Result<Constants> constants = ConstantsIn(model, scheme);
  EXPECT_TRUE(constants);
  for (const Constant& constant : constants->values) shapes[constant.name] = constant.shape;
  return shapes;
}

TEST(MaxtextLlama, ScannedFormHasTheGoldensNamesAndShapes) {
  EXPECT_EQ(AllShapes(BindHf(kGolden), "maxtext"), MaxtextShapes(kGolden));
}

TEST(MaxtextLlama, UnscannedFormHasTheGoldensNamesAndShapes) {
  EXPECT_EQ(AllShapes(BindHf(kGolden), "maxtext-unscanned"), MaxtextUnscannedShapes(kGolden));
}

TEST(MaxtextLlama, LayersStackAlongAxisOne) {
  const Model model = BindHf(kGolden);
  const CellInstance q = CellOf(model, *FindRole(model, "layer.2.attention.q"), "maxtext");
  EXPECT_EQ(q.layer_axis, 1U);
  EXPECT_EQ(q.layer_index, 2U);
  EXPECT_THAT(q.tensor_axes, ElementsAre(Axis{"e", 64}, Axis{"l", 3}, Axis{"h", 4}, Axis{"d", 16}));
  EXPECT_EQ(q.view.offset, 2U * 4 * 16);
  const CellInstance single =
      CellOf(model, *FindRole(model, "layer.2.attention.q"), "maxtext-unscanned");
  EXPECT_EQ(single.layer_axis, std::nullopt);
  EXPECT_THAT(single.tensor_axes, ElementsAre(Axis{"e", 64}, Axis{"h", 4}, Axis{"d", 16}));
  EXPECT_TRUE(IsBijection(single.view));
}

TEST(MaxtextLlama, JoinedAxesAreNamedByTheirParts) {
  const Model model = BindHf(kGolden);
  const BoundRole& q = *FindRole(model, "layer.0.attention.q");
  EXPECT_THAT(CellOf(model, q, "hf").tensor_axes, ElementsAre(Axis{"h*d", 64}, Axis{"e", 64}));
  EXPECT_THAT(CellOf(model, *FindRole(model, "output"), "maxtext").tensor_axes,
              ElementsAre(Axis{"e", 64}, Axis{"v", 256}));
}

/// Element [e, h, d] of the written kernel, as an element of the source's [h * d, e].
uint64_t SourceOf(const Model& model, const BoundRole& role, uint64_t e, uint64_t h, uint64_t d) {
  const CellInstance cell = CellOf(model, role, "maxtext-unscanned");
  const std::vector<Axis>& axes = role.instance.axes;  // h p t e
  for (uint64_t p = 0; p < 2; ++p) {
    for (uint64_t t = 0; t < axes[2].extent; ++t) {
      const auto at = [&](const View& v) {
        return h * v.strides[0] + p * v.strides[1] + t * v.strides[2] + e * v.strides[3];
      };
      const uint64_t width = 2 * axes[2].extent;
      if (at(cell.view) == (e * axes[0].extent + h) * width + d) return at(role.view);
    }
  }
  return UINT64_MAX;
}

TEST(MaxtextLlama, HalfLayoutKeepsTheOrderOfHuggingFace) {
  const Model model = BindHf(kGolden, {.rope_layout = "half"});
  for (const auto& [name, heads] : {std::pair("q", 4U), std::pair("k", 2U)}) {
    const BoundRole& role = *FindRole(model, fmt::format("layer.1.attention.{}", name));
    for (uint64_t h = 0; h < heads; ++h) {
      for (uint64_t d = 0; d < 16; ++d) {
        EXPECT_EQ(SourceOf(model, role, 5, h, d), (h * 16 + d) * 64 + 5);
      }
    }
  }
}

TEST(MaxtextLlama, InterleavedLayoutPairsElementsOfBothHalves) {
  const Model model = BindHf(kGolden, {.rope_layout = "interleaved"});
  for (const auto& [name, heads] : {std::pair("q", 4U), std::pair("k", 2U)}) {
    const BoundRole& role = *FindRole(model, fmt::format("layer.1.attention.{}", name));
    for (uint64_t h = 0; h < heads; ++h) {
      for (uint64_t j = 0; j < 8; ++j) {  // out[2j] = in[j]; out[2j+1] = in[j + D/2]
        EXPECT_EQ(SourceOf(model, role, 5, h, 2 * j), (h * 16 + j) * 64 + 5);
        EXPECT_EQ(SourceOf(model, role, 5, h, 2 * j + 1), (h * 16 + j + 8) * 64 + 5);
      }
    }
  }
}

TEST(MaxtextLlama, OutProjectionIsTransposedHeadByHead) {
  const Model model = BindHf(kGolden);
  const BoundRole& role = *FindRole(model, "layer.0.attention.o");  // e h d
  const View& view = CellOf(model, role, "maxtext-unscanned").view;
  EXPECT_EQ(role.view.strides, (std::vector<uint64_t>{64, 16, 1}));     // Wo[e, h * D + d]
  EXPECT_EQ(view.strides, (std::vector<uint64_t>{1, 16ULL * 64, 64}));  // out[h, d, e]
}

TEST(MaxtextLlama, OnlyTheQueryIsScaled) {
  const Model model = BindHf({1, 256, 2, 1, 128, 128, 48});
  const double factor = 1 / std::sqrt(128.0);
  for (const BoundRole& role : model.roles) {
    const ValueProgram expected =
        role.instance.role.ends_with("attention.q")
            ? ValueProgram{{Kind::kCast, DType::kBF16},
                           {Kind::kMultiply, DType::kF32, static_cast<float>(factor), factor},
                           {Kind::kCast, DType::kBF16}}
            : ValueProgram();
    EXPECT_EQ(CellOf(model, role, "maxtext").value, expected) << role.instance.role;
    EXPECT_EQ(CellOf(model, role, "maxtext-unscanned").value, expected);
    EXPECT_EQ(role.value, ValueProgram());
  }
}

TEST(MaxtextLlama, KernelsReduceOverTheAxesTheyContract) {
  const Model model = BindHf(kGolden);
  std::map<std::string, std::string> reduced;
  for (const BoundRole& role : model.roles) {
    const CellInstance cell = CellOf(model, role, "maxtext-unscanned");
    EXPECT_EQ(cell.quantize, cell.reduce.empty() ? "" : "linear") << role.instance.role;
    std::string names;
    for (const uint64_t axis : cell.reduce) names += role.instance.axes.at(axis).name;
    if (!names.empty())
      reduced[role.instance.role.substr(role.instance.role.rfind('.') + 1)] = names;
  }
  EXPECT_EQ(reduced, (std::map<std::string, std::string>{{"q", "e"},
                                                         {"k", "e"},
                                                         {"v", "e"},
                                                         {"o", "hd"},
                                                         {"gate", "e"},
                                                         {"up", "e"},
                                                         {"down", "f"}}));
}

TEST(MaxtextLlama, TrainingStateHasAStepAndAnEmptyOptimizer) {
  const Model model = BindHf(kGolden);
  for (const std::string_view scheme : {"maxtext", "maxtext-unscanned"}) {
    const Result<Constants> constants = ConstantsIn(model, scheme);
    ASSERT_TRUE(constants);
    ASSERT_EQ(constants->values.size(), 1U);
    EXPECT_EQ(constants->values[0].name, "step");
    EXPECT_EQ(constants->values[0].dtype, DType::kI64);
    EXPECT_EQ(constants->values[0].shape, Shape());
    EXPECT_EQ(constants->values[0].value, 0);
    ASSERT_EQ(constants->empty_nodes.size(), 1U);
    EXPECT_EQ(constants->empty_nodes[0].name, "opt_state");
    EXPECT_EQ(constants->empty_nodes[0].kind, "Dict");
  }
  EXPECT_THAT(ConstantsIn(model, "hf")->values, IsEmpty());
  EXPECT_EQ(ConstantsIn(model, "maxtxt").error().remedy, "did you mean maxtext?");
}

TEST(MaxtextLlama, TiedHeadIsTheEmbeddingTransposed) {
  NamedShapes shapes = HfShapes(kGolden);
  shapes.erase("lm_head.weight");
  SourceConfig config = HfConfig(kGolden);
  config.values["tie_word_embeddings"] = true;
  const Result<Model> model = Bind(shapes, {config});
  ASSERT_TRUE(model) << model.error().Print();
  const BoundRole& output = *FindRole(*model, "output");
  EXPECT_EQ(output.tied_to, "token_embedding");
  const CellInstance cell = CellOf(*model, output, "maxtext");
  EXPECT_EQ(cell.name, "params/params/decoder/logits_dense/kernel");
  EXPECT_EQ(cell.view.strides, (std::vector<uint64_t>{1, 256}));  // v e of [e, v]
}

TEST(MaxtextLlama, VocabularyIsCutToThatOfTheNamedModel) {
  const LlamaSizes sizes = {1, 64, 4, 2, 16, 128, 32016};  // CodeLlama's 32,016 tokens
  const Model model = BindHf(sizes, {.model_name = "llama2-7b"});
  const CellInstance embedding = CellOf(model, *FindRole(model, "token_embedding"), "maxtext");
  EXPECT_EQ(embedding.view.tensor, (Shape{32000, 64}));
  EXPECT_EQ(embedding.view.extents, (std::vector<uint64_t>{32000, 64}));
  const CellInstance output = CellOf(model, *FindRole(model, "output"), "maxtext");
  EXPECT_EQ(output.view.tensor, (Shape{64, 32000}));
  EXPECT_EQ(output.view.strides, (std::vector<uint64_t>{1, 32000}));
  EXPECT_THAT(model.notes, Contains("v cut from 32016 to 32000, as llama2-7b has it"));
  EXPECT_EQ(CellOf(model, *FindRole(model, "output"), "jetstream-pytorch").view.tensor,
            (Shape{32016, 64}));
}

TEST(MaxtextLlama, VocabularyIsNeverPaddedNorThatOfLlama3Cut) {
  for (const auto& [name, rows] :
       {std::pair("llama3.1-8b", 256U), std::pair("llama3.1-8b", 128264U),
        std::pair("llama2-7b", 256U)}) {
    const Model model = BindHf({1, 64, 4, 2, 16, 128, rows}, {.model_name = name});
    const CellInstance cell = CellOf(model, *FindRole(model, "token_embedding"), "maxtext");
    EXPECT_EQ(cell.view.tensor, (Shape{rows, 64}));
    EXPECT_THAT(model.warnings, Contains(HasSubstr(fmt::format("v is {}, not", rows))));
  }
}

TEST(MaxtextLlama, ScannedSourceIsUnderstoodByItsShapes) {
  const Result<Model> model = Bind(MaxtextShapes(kGolden), {}, {.model_name = "llama3.1-8b"});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(model->source_scheme, "maxtext");
  const Model from_hf = BindHf(kGolden, {.model_name = "llama3.1-8b"});
  EXPECT_EQ(model->dims, from_hf.dims);
  EXPECT_EQ(AllShapes(*model, "hf"), HfShapes(kGolden));
  EXPECT_THAT(model->ignored, ElementsAre("step"));
  // It lies as it would have been written.
  ASSERT_EQ(model->roles.size(), from_hf.roles.size());
  for (size_t i = 0; i < model->roles.size(); ++i) {
    const CellInstance cell = CellOf(from_hf, from_hf.roles[i], "maxtext");
    EXPECT_EQ(model->roles[i].view, cell.view) << cell.name;
    EXPECT_EQ(model->roles[i].value, Inverse(cell.value));
  }
}

TEST(MaxtextLlama, UnscannedSourceIsUnderstoodByItsShapes) {
  const Result<Model> model =
      Bind(MaxtextUnscannedShapes(kGolden), {}, {.model_name = "llama3.1-8b"});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(model->source_scheme, "maxtext-unscanned");
  EXPECT_EQ(model->dims.at("L"), 3U);
  EXPECT_EQ(AllShapes(*model, "maxtext"), MaxtextShapes(kGolden));
  EXPECT_EQ(AllShapes(*model, "hf"), HfShapes(kGolden));
}

TEST(MaxtextLlama, ScannedToUnscannedChangesNoValue) {
  const Result<Model> model = Bind(MaxtextShapes({1, 256, 2, 1, 128, 128, 48}), {});
  ASSERT_TRUE(model) << model.error().Print();
  const BoundRole& q = *FindRole(*model, "layer.0.attention.q");
  EXPECT_FALSE(IsExact(CellOf(*model, q, "maxtext").value));
  EXPECT_EQ(Then(q.value, CellOf(*model, q, "maxtext-unscanned").value), ValueProgram());
  const BoundRole& k = *FindRole(*model, "layer.0.attention.k");
  EXPECT_TRUE(IsExact(CellOf(*model, k, "maxtext").value));
}

TEST(MaxtextLlama, QueryStoredInFloat32IsScaledBackWithoutRounding) {
  Catalog catalog = MakeCatalog(MaxtextShapes(kGolden), {});
  for (TensorEntry& entry : catalog.tensors) {
    if (entry.name.ends_with("query/kernel")) entry.dtype = DType::kF32;
  }
  const Result<Model> model = BindModel(Shipped(), catalog, {});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(FindRole(*model, "layer.0.attention.q")->value,
            (ValueProgram{{Kind::kMultiply, DType::kF32, 4, 4}}));
}

TEST(MaxtextLlama, OptimizerStateIsIgnoredAndQuantizedKernelsAreRefused) {
  NamedShapes shapes = MaxtextShapes(kGolden);
  shapes["opt_state/0/mu/params/decoder/decoder_norm/scale"] = {64};
  const Result<Model> trained = Bind(shapes, {});
  ASSERT_TRUE(trained) << trained.error().Print();
  EXPECT_THAT(trained->ignored,
              ElementsAre("opt_state/0/mu/params/decoder/decoder_norm/scale", "step"));
  shapes = MaxtextUnscannedShapes(kGolden);
  shapes["params/aqt/decoder/layers_0/mlp/wo/AqtDotGeneral_0/qrhs/frozen/qvalue"] = {128, 64};
  const Result<Model> quantized = Bind(shapes, {});
  ASSERT_FALSE(quantized);
  EXPECT_THAT(Text(quantized.error()), HasSubstr("a quantized checkpoint"));
}

TEST(MaxtextLlama, MissingKernelIsNamed) {
  NamedShapes shapes = MaxtextShapes(kGolden);
  shapes.erase("params/params/decoder/layers/mlp/wo/kernel");
  const Result<Model> model = Bind(shapes, {});
  ASSERT_FALSE(model);
  EXPECT_THAT(Text(model.error()),
              HasSubstr("params/params/decoder/layers/mlp/wo/kernel (l = 0 to 2): missing"));
}

}  // namespace
}  // namespace ckpt
