// Shapes of the table language that llama does not need: layers in pairs and in blocks of six with
// a remainder, vocabularies padded and cut, sums in the norms, constants with axes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/family.h"
#include "model/model.h"
#include "tests/unit/model/make_catalog.h"

namespace ckpt {
namespace {

using Kind = ValueStep::Kind;
using testing::ElementsAre;
using testing::HasSubstr;

std::map<std::string, std::string> NamesIn(const Model& model, std::string_view scheme) {
  std::map<std::string, std::string> names;
  for (const BoundRole& role : model.roles) {
    names[role.instance.role] = CellOf(model, role, scheme).name;
  }
  return names;
}

// Gemma 2: a MaxText layer is a pair of real ones.
constexpr std::string_view kPairs = R"(family = "pairs"
schemes = ["hf", "maxtext"]
[dims]
L = { hf = "layers" }
e = { hf = "width" }
[[tensor]]
role = "layer.{l}.norm"
hf = { name = "layers.{l}.norm", layout = "e" }
maxtext = [
  { name = "layers/norm_local/scale", unscanned = "layers_{l / 2}/norm_local/scale", layout = "e [l / 2 of L / 2]", when = "l % 2 == 0", value = "bf16(x) + 1" },
  { name = "layers/norm_global/scale", unscanned = "layers_{l / 2}/norm_global/scale", layout = "e [l / 2 of L / 2]", when = "l % 2 == 1", value = "bf16(x) + 1" } ]
)";
// An odd number of layers has no pairs, so the prover's random L must be even.
const std::string kEvenPairs = [] {
  const std::string layers = "L = { hf = \"layers\" }";
  std::string text(kPairs);
  return text.replace(text.find(layers), layers.size(),
                      "P = { hf = \"pairs\" }\nL = { expr = \"2 * P\" }");
}();

NamedShapes Norms(uint64_t layers) {
  NamedShapes shapes;
  for (uint64_t l = 0; l < layers; ++l) shapes[fmt::format("layers.{}.norm", l)] = {5};
  return shapes;
}

TEST(LayersInPairs, EvenLayersAreLocalAndOddOnesGlobal) {
  const auto family = ParseTable(std::string(kPairs));
  const Result<Model> model =
      BindTo(family, Norms(4), {Config({{"layers", int64_t{4}}, {"width", int64_t{5}}})});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_THAT(NamesIn(*model, "maxtext"),
              ElementsAre(std::pair("layer.0.norm", "layers/norm_local/scale"),
                          std::pair("layer.1.norm", "layers/norm_global/scale"),
                          std::pair("layer.2.norm", "layers/norm_local/scale"),
                          std::pair("layer.3.norm", "layers/norm_global/scale")));
  EXPECT_THAT(NamesIn(*model, "maxtext-unscanned"),
              ElementsAre(std::pair("layer.0.norm", "layers_0/norm_local/scale"),
                          std::pair("layer.1.norm", "layers_0/norm_global/scale"),
                          std::pair("layer.2.norm", "layers_1/norm_local/scale"),
                          std::pair("layer.3.norm", "layers_1/norm_global/scale")));
  const CellInstance last = CellOf(*model, model->roles[3], "maxtext");
  EXPECT_EQ(last.view.tensor, (Shape{5, 2}));
  EXPECT_EQ(last.layer_axis, 1U);
  EXPECT_EQ(last.layer_index, 1U);
  EXPECT_THAT(last.tensor_axes, ElementsAre(Axis{"e", 5}, Axis{"l", 2}));
  EXPECT_EQ(last.value,
            (ValueProgram{{Kind::kCast, DType::kBF16}, {Kind::kAdd, DType::kBF16, 1, 1}}));
}

TEST(LayersInPairs, TableIsProved) {
  const Result<FamilyProof> proof = CheckFamily(*ParseTable(kEvenPairs));
  ASSERT_TRUE(proof) << proof.error().Print();
  EXPECT_EQ(proof->schemes, 3U);
}

// Gemma 3: blocks of six layers, the rest by themselves.
constexpr std::string_view kBlocks = R"(family = "blocks"
schemes = ["hf", "maxtext"]
[dims]
L = { hf = "layers" }
e = { hf = "width" }
[[tensor]]
role = "layer.{l}.norm"
hf = { name = "layers.{l}.norm", layout = "e" }
maxtext = [
  { name = "layers/layers_{l % 6}/scale", unscanned = "layers_{l}/scale", layout = "e [l / 6 of L / 6]", when = "l < L - L % 6" },
  { name = "layers_remainder/layers_{l % 6}/scale", unscanned = "layers_{l}/scale", layout = "e", when = "l >= L - L % 6" } ]
)";

Model BindBlocks(uint64_t layers) {
  Result<Model> model = BindTo(ParseTable(std::string(kBlocks)), Norms(layers),
                               {Config({{"layers", Signed(layers)}, {"width", int64_t{5}}})});
  EXPECT_TRUE(model) << model.error().Print();
  return model.value_or(Model{});
}

TEST(LayersInBlocks, EachPlaceOfABlockIsAStackAndTheRestIsNot) {
  const Model model = BindBlocks(34);  // the 4b: 5 blocks and 4 layers
  const CellInstance place = CellOf(model, model.roles[20], "maxtext");
  EXPECT_EQ(place.name, "layers/layers_2/scale");
  EXPECT_EQ(place.view.tensor, (Shape{5, 5}));
  EXPECT_EQ(place.layer_index, 3U);
  const CellInstance rest = CellOf(model, model.roles[33], "maxtext");
  EXPECT_EQ(rest.name, "layers_remainder/layers_3/scale");
  EXPECT_EQ(rest.view.tensor, (Shape{5}));
  EXPECT_EQ(rest.layer_axis, std::nullopt);
  EXPECT_EQ(CellOf(model, model.roles[33], "maxtext-unscanned").name, "layers_33/scale");
  EXPECT_EQ(CellOf(model, model.roles[20], "maxtext-unscanned").name, "layers_20/scale");
}

TEST(LayersInBlocks, WholeBlocksLeaveNoRemainder) {
  const Model model = BindBlocks(48);  // the 12b: 8 blocks
  for (const auto& [role, name] : NamesIn(model, "maxtext")) {
    EXPECT_THAT(name, HasSubstr("layers/layers_"));
  }
  EXPECT_EQ(CellOf(model, model.roles[47], "maxtext").view.tensor, (Shape{5, 8}));
}

TEST(LayersInBlocks, TableIsProvedInAllItsCells) {
  const Result<FamilyProof> proof = CheckFamily(*ParseTable(std::string(kBlocks)));
  ASSERT_TRUE(proof) << proof.error().Print();
  EXPECT_EQ(proof->unused_cells, 0U);
}

TEST(LayersInBlocks, ProofFindsAStackOfTheWrongSize) {
  std::string text(kBlocks);
  const std::string whole = "of L / 6]";
  text.replace(text.find(whole), whole.size(), "of L / 6 + 1]");
  const Result<FamilyProof> proof = CheckFamily(*ParseTable(text));
  ASSERT_FALSE(proof);
  EXPECT_THAT(proof.error().Print(), HasSubstr("belong to no role"));
}

TEST(LayersInBlocks, ProofCountsCellsThatNoSmallModelUses) {
  std::string text(kBlocks);
  const std::string condition = "when = \"l >= L - L % 6\"";
  text.replace(text.find(condition), condition.size(), "when = \"l > 100\"");
  const Result<FamilyProof> proof = CheckFamily(*ParseTable(text));
  ASSERT_TRUE(proof) << proof.error().Print();
  EXPECT_EQ(proof->unused_cells, 2U);  // scanned and unscanned
}

// Gemma's vocabulary: 256,000 rows become 256,128, and 262,208 become 262,144.
constexpr std::string_view kVocabulary = R"t(family = "vocabulary"
schemes = ["hf", "maxtext"]
[dims]
e = { hf = "width", shape = { maxtext = "embedding" } }
v = { hf = "vocab", shape = { maxtext = "embedding" } }
V = { served = "v" }
[models]
"one"   = { dims = { e = 4, v = 12 }, resized = "v" }
"other" = { dims = { e = 16, v = 12 }, cut = "v" }
[[tensor]]
role = "embedding"
hf = { name = "embed", layout = "v e" }
maxtext = { name = "embedding", layout = "v e", resize = { v = "V" }, value = "bf16(x) * bf16(sqrt(e))" }
)t";

Model BindVocabulary(uint64_t rows, const std::string& name) {
  Result<Model> model =
      BindTo(ParseTable(std::string(kVocabulary)), {{"embed", {rows, 4}}},
             {Config({{"vocab", Signed(rows)}, {"width", int64_t{4}}})}, {.model_name = name});
  EXPECT_TRUE(model) << model.error().Print();
  return model.value_or(Model{});
}

TEST(ResizedAxis, ShorterVocabularyIsPaddedAtItsEnd) {
  const Model model = BindVocabulary(10, "one");
  const CellInstance cell = CellOf(model, model.roles[0], "maxtext");
  EXPECT_EQ(cell.view, (View{Shape{12, 4}, {10, 4}, {4, 1}, 0}));
  EXPECT_THAT(cell.tensor_axes, ElementsAre(Axis{"v", 12}, Axis{"e", 4}));
  EXPECT_THAT(model.notes, testing::Contains("v padded with zeros from 10 to 12, as one has it"));
}

TEST(ResizedAxis, LongerVocabularyIsCut) {
  const Model model = BindVocabulary(15, "one");
  const CellInstance cell = CellOf(model, model.roles[0], "maxtext");
  EXPECT_EQ(cell.view, (View{Shape{12, 4}, {12, 4}, {4, 1}, 0}));
  const auto [source, target] = Common(model.roles[0].view, cell.view);
  EXPECT_EQ(Compose(source, target).axes, (std::vector<Mapping::Axis>{{48, 1, 1}}));
}

TEST(ResizedAxis, WithoutANameTheVocabularyStays) {
  const Model model = BindVocabulary(10, "");
  EXPECT_EQ(CellOf(model, model.roles[0], "maxtext").view.tensor, (Shape{10, 4}));
}

TEST(ResizedAxis, OnlyCutMeansNeverPadded) {
  const Model model = BindVocabulary(10, "other");
  EXPECT_EQ(CellOf(model, model.roles[0], "maxtext").view.tensor, (Shape{10, 4}));
}

TEST(ResizedAxis, PaddedSourceIsUsedUp) {
  const Result<Model> model =
      BindTo(ParseTable(std::string(kVocabulary)), {{"embedding", {12, 4}}},
             {Config({{"vocab", int64_t{10}}, {"width", int64_t{4}}})}, {.model_name = "one"});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(model->roles[0].view.extents, (std::vector<uint64_t>{10, 4}));
  EXPECT_EQ(CellOf(*model, model->roles[0], "hf").view.tensor, (Shape{10, 4}));
  EXPECT_TRUE(IsExact(CellOf(*model, model->roles[0], "maxtext").value));  // times 2
}

TEST(ResizedAxis, TableIsProved) {
  const Result<FamilyProof> proof = CheckFamily(*ParseTable(std::string(kVocabulary)));
  ASSERT_TRUE(proof) << proof.error().Print();
}

TEST(ConstantRow, HasTheShapeOfItsAxes) {
  const auto family = ParseTable(R"(family = "constant"
schemes = ["hf", "flax"]
[dims]
e = { hf = "width" }
h = 3
[[tensor]]
role = "a"
hf = { name = "a", layout = "e" }
flax = { name = "b", layout = "e" }
[[tensor]]
role = "mask"
flax = { name = "mask", const = -1, dtype = "I32", layout = "h e" }
)");
  const Result<Model> model = BindTo(family, {{"a", {4}}}, {Config({{"width", int64_t{4}}})});
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(model->roles.size(), 1U);  // nobody looks for the mask
  const Result<Constants> constants = ConstantsIn(*model, "flax");
  ASSERT_TRUE(constants);
  ASSERT_EQ(constants->values.size(), 1U);
  EXPECT_EQ(constants->values[0].name, "mask");
  EXPECT_EQ(constants->values[0].dtype, DType::kI32);
  EXPECT_EQ(constants->values[0].shape, (Shape{3, 4}));
  EXPECT_EQ(constants->values[0].value, -1);
  EXPECT_TRUE(CheckFamily(*family));
}

}  // namespace
}  // namespace ckpt
