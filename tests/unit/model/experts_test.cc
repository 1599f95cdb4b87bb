// Experts in the table language: stacked in one tensor, and one tensor each.
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

// Mixtral: experts stacked in MaxText, one tensor each in Hugging Face's files.
constexpr std::string_view kExperts = R"(family = "experts"
schemes = ["hf", "meta", "fused", "maxtext"]
[dims]
L = { hf = "layers" }
x = { hf = "experts" }
e = { hf = "width" }
f = { hf = "inner" }
[[tensor]]
role = "layer.{l}.w1"
hf = { name = "layers.{l}.experts.{x}.w1", layout = "f e" }
meta = { name = "{l}.experts.{x}.w1", layout = "e f" }
fused = { name = "layers.{l}.w1", layout = "x e f" }
maxtext = { name = "layers/wi_0", unscanned = "layers_{l}/wi_0", layout = "x [l] e f", quantize = "linear", reduce = "e" }
)";

std::vector<SourceConfig> ExpertConfig() {
  return {Config({{"layers", int64_t{2}},
                  {"experts", int64_t{3}},
                  {"width", int64_t{4}},
                  {"inner", int64_t{5}}})};
}
NamedShapes ExpertShapes() {
  NamedShapes shapes;
  for (int l = 0; l < 2; ++l) {
    for (int x = 0; x < 3; ++x) shapes[fmt::format("layers.{}.experts.{}.w1", l, x)] = {5, 4};
  }
  return shapes;
}

TEST(Experts, OneTensorEachIsAListOfParts) {
  const Result<Model> model =
      BindTo(ParseTable(std::string(kExperts)), ExpertShapes(), ExpertConfig());
  ASSERT_TRUE(model) << model.error().Print();
  ASSERT_EQ(model->roles.size(), 2U);
  const BoundRole& role = model->roles[1];
  EXPECT_THAT(role.instance.axes, ElementsAre(Axis{"x", 3}, Axis{"f", 5}, Axis{"e", 4}));
  EXPECT_EQ(role.parts_axis, 0U);
  EXPECT_THAT(role.parts, ElementsAre(3U, 4U, 5U));
  EXPECT_EQ(role.tensor, 3U);
  EXPECT_EQ(role.view, (View{Shape{5, 4}, {1, 5, 4}, {0, 4, 1}, 0}));
}

TEST(Experts, StackAlongTheExpertAxisWithLayersBehindIt) {
  const Result<Model> model =
      BindTo(ParseTable(std::string(kExperts)), ExpertShapes(), ExpertConfig());
  ASSERT_TRUE(model) << model.error().Print();
  const CellInstance cell = CellOf(*model, model->roles[1], "maxtext");
  EXPECT_EQ(cell.view, (View{Shape{3, 2, 4, 5}, {3, 5, 4}, {40, 1, 5}, 20}));
  EXPECT_THAT(cell.tensor_axes,
              ElementsAre(Axis{"x", 3}, Axis{"l", 2}, Axis{"e", 4}, Axis{"f", 5}));
  EXPECT_THAT(cell.reduce, ElementsAre(2U));
  EXPECT_EQ(CellOf(*model, model->roles[1], "maxtext-unscanned").view.tensor, (Shape{3, 4, 5}));
}

TEST(Experts, CellOfPartsNamesEachTensor) {
  const Result<Model> model =
      BindTo(ParseTable(std::string(kExperts)),
             {{"layers.0.w1", {3, 4, 5}}, {"layers.1.w1", {3, 4, 5}}}, ExpertConfig());
  ASSERT_TRUE(model) << model.error().Print();
  EXPECT_EQ(model->source_scheme, "fused");
  const CellInstance cell = CellOf(*model, model->roles[1], "hf");
  EXPECT_THAT(cell.part_names, ElementsAre("layers.1.experts.0.w1", "layers.1.experts.1.w1",
                                           "layers.1.experts.2.w1"));
  EXPECT_EQ(cell.parts_axis, 0U);
  EXPECT_EQ(cell.name, "layers.1.experts.0.w1");
  EXPECT_EQ(cell.view, (View{Shape{5, 4}, {1, 5, 4}, {0, 4, 1}, 0}));
}

TEST(Experts, MissingOneOfThemIsNamed) {
  NamedShapes shapes = ExpertShapes();
  shapes.erase("layers.1.experts.2.w1");
  const Result<Model> model = BindTo(ParseTable(std::string(kExperts)), shapes, ExpertConfig());
  ASSERT_FALSE(model);
  EXPECT_THAT(Text(model.error()), HasSubstr("layers.1.experts.2.w1: missing"));
}

TEST(Experts, OneOfAnotherTypeOrShapeIsNamed) {
  NamedShapes shapes = ExpertShapes();
  shapes["layers.0.experts.1.w1"] = {4, 5};
  Catalog catalog = MakeCatalog(shapes, ExpertConfig());
  catalog.tensors[5].dtype = DType::kF16;
  const std::vector<std::shared_ptr<const Family>> families = {ParseTable(std::string(kExperts))};
  const Result<Model> model = BindModel(families, catalog, {});
  ASSERT_FALSE(model);
  EXPECT_THAT(
      Text(model.error()),
      AllOf(HasSubstr("layers.0.experts.1.w1: shape [4, 5], expected [5, 4]"),
            HasSubstr("layers.1.experts.2.w1: holds F16, but layers.1.experts.0.w1 holds BF16")));
}

TEST(Experts, ACountThatNoModelHasIsRefusedBeforeNamesAreMade) {
  std::vector<SourceConfig> config = ExpertConfig();
  config[0].values["experts"] = int64_t{1} << 60;
  const Result<Model> model = BindTo(ParseTable(std::string(kExperts)), ExpertShapes(), config);
  ASSERT_FALSE(model);
  EXPECT_THAT(Text(model.error()), HasSubstr("1152921504606846976 tensors of one role: axis x"));
}

TEST(Experts, TableIsProved) {
  const Result<FamilyProof> proof = CheckFamily(*ParseTable(std::string(kExperts)));
  ASSERT_TRUE(proof) << proof.error().Print();
  EXPECT_GT(proof->elements, 0U);
}

}  // namespace
}  // namespace ckpt
