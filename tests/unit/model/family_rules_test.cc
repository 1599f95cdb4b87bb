// Keys of a table that are misused: each fault names its key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "model/family.h"

namespace ckpt {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::string_view kHead = R"(family = "small"
schemes = ["hf", "flax"]
[dims]
L = { hf = "layers" }
e = { hf = "width" }
v = { hf = "vocab" }
x = { hf = "experts" }
V = { served = "v" }
p = 2
t = 3
[facts]
scaling = { hf = "scaling", default = "none" }
[choices.rope]
values = { half = "p t", pairs = "t p" }
default = "half"
)";

/// The fault of a table with these lines behind the head, as a user sees it.
std::string FaultOf(const std::string& lines) {
  const auto family = Family::Parse(std::string(kHead) + lines, "small.toml");
  EXPECT_FALSE(family) << lines;
  return family ? "" : family.error().Print();
}

/// A row of role "a" with this hf cell, and with `flax` behind it.
std::string RowOf(const std::string& hf, const std::string& flax = "",
                  const std::string& role = "a") {
  return "[[tensor]]\nrole = \"" + role + "\"\nhf = { name = \"a\", " + hf + " }\n" +
         (flax.empty() ? "" : "flax = { " + flax + " }\n");
}

std::string LayerRow(const std::string& flax) {
  return "[[tensor]]\nrole = \"layer.{l}.a\"\nhf = { name = \"a.{l}\", layout = \"e\" }\nflax = "
         "{ " +
         flax + " }\n";
}

TEST(FamilyRules, ValueMustBeAnExpressionOfDimensions) {
  EXPECT_THAT(FaultOf(RowOf(R"(layout = "e", value = "x * 2")")),
              AllOf(HasSubstr("tensor[0].hf.value"), HasSubstr("before a cast")));
  EXPECT_THAT(FaultOf(RowOf(R"t(layout = "e", value = "bf16(x) * sqrt(width)")t")),
              AllOf(HasSubstr("tensor[0].hf.value"), HasSubstr("no dimension width")));
  EXPECT_THAT(FaultOf(LayerRow(R"(name = "b.{l}", layout = "e", value = "bf16(x) + l")")),
              HasSubstr("there is no dimension l"));
}

TEST(FamilyRules, AMisspeltKeyIsHeldToAllThatTheTableKnows) {
  for (const auto& [wrong, right] : {std::pair("unscaned", "unscanned"), std::pair("valu", "value"),
                                     std::pair("shard_axes", "shard_axis"),
                                     std::pair("resise", "resize"), std::pair("whn", "when")}) {
    EXPECT_THAT(FaultOf(RowOf(std::string("layout = \"e\", ") + wrong + " = \"1\"")),
                AllOf(HasSubstr("unknown key"), HasSubstr(std::string("did you mean ") + right)));
  }
}

TEST(FamilyRules, ReduceNamesAxesOfAQuantizedCell) {
  EXPECT_THAT(FaultOf(RowOf(R"(layout = "v e", quantize = "linear", reduce = "x")")),
              AllOf(HasSubstr("tensor[0].hf.reduce"), HasSubstr("no axis x"), HasSubstr("v e")));
  EXPECT_THAT(FaultOf(RowOf(R"(layout = "v e", reduce = "e")")),
              AllOf(HasSubstr("tensor[0].hf.reduce"), HasSubstr("never quantized")));
}

TEST(FamilyRules, ResizedAxisStandsAlone) {
  EXPECT_THAT(FaultOf(RowOf(R"t(layout = "(v e)", resize = { v = "V" })t")),
              AllOf(HasSubstr("tensor[0].hf.resize.v"), HasSubstr("must stand alone")));
  EXPECT_THAT(FaultOf(RowOf(R"(layout = "e", resize = { v = "V" })")),
              HasSubstr("there is no axis v to resize"));
  EXPECT_THAT(FaultOf(RowOf(R"(layout = "v e", resize = { v = "W" })")),
              AllOf(HasSubstr("tensor[0].hf.resize"), HasSubstr("no dimension W")));
  EXPECT_THAT(
      FaultOf("[[tensor]]\nrole = \"a\"\nhf = { name = \"a[0 : v of 2 * v]\", layout = \"v e\", "
              "resize = { v = \"V\" } }\n"),
      HasSubstr("without a selection"));
}

TEST(FamilyRules, UnscannedNeedsANameForEveryStackOfItsScheme) {
  const std::string stacked = R"(name = "s", layout = "e [l]", unscanned = "s_{l}")";
  EXPECT_THAT(
      FaultOf(LayerRow(stacked) +
              "[[tensor]]\nrole = \"layer.{l}.b\"\nflax = { name = \"r\", layout = \"e [l]\" }\n"),
      AllOf(HasSubstr("tensor[1].flax.unscanned"), HasSubstr("no unscanned name")));
  EXPECT_THAT(FaultOf(LayerRow(R"(name = "s", layout = "e [l]", unscanned = "s_{n}")")),
              AllOf(HasSubstr("tensor[0].flax.unscanned"), HasSubstr("no dimension n")));
  EXPECT_THAT(FaultOf(RowOf(R"(layout = "e", unscanned = "b")")),
              AllOf(HasSubstr("tensor[0].hf.unscanned"), HasSubstr("only a role with {l}")));
  EXPECT_THAT(FaultOf(LayerRow(R"(name = "s", layout = "e [l]", unscanned = "s_{l")")),
              HasSubstr("tensor[0].flax.unscanned"));
}

TEST(FamilyRules, UnscannedNamesBelongToOneRole) {
  EXPECT_THAT(
      FaultOf(LayerRow(R"(name = "s", layout = "e [l]", unscanned = "s_{l}")") +
              "[[tensor]]\nrole = \"layer.{l}.b\"\nflax = { name = \"r\", layout = \"e [l]\", "
              "unscanned = \"s_{l}\" }\n"),
      HasSubstr("s_{l} already belongs to role layer.{l}.a"));
}

TEST(FamilyRules, PartsAreNumberedByOneAxisOutsideTheLayout) {
  EXPECT_THAT(FaultOf(RowOf(R"(layout = "x e")", R"(name = "b.{x}", layout = "x e")")),
              AllOf(HasSubstr("tensor[0].flax.name"), HasSubstr("lies in them too")));
  EXPECT_THAT(FaultOf(RowOf(R"(layout = "x v e")", R"(name = "b.{x}.{v}", layout = "e")")),
              HasSubstr("only one axis can number"));
  EXPECT_THAT(FaultOf(RowOf(R"(layout = "v e")", R"(name = "b.{x}", layout = "v e")")),
              HasSubstr("has other axes than the role"));
}

TEST(FamilyRules, ConstantsStandInRowsOfTheirOwn) {
  EXPECT_THAT(FaultOf(RowOf(R"(layout = "e")", R"(name = "step", const = 0, dtype = "I64")")),
              HasSubstr("one cell of the row has a source, another is constant"));
  EXPECT_THAT(FaultOf("[[tensor]]\nrole = \"a\"\nflax = { name = \"step\", const = 0 }\n"),
              HasSubstr("tensor[0].flax.dtype: this key is missing"));
  EXPECT_THAT(
      FaultOf(
          "[[tensor]]\nrole = \"a\"\nflax = { name = \"step\", const = 0, dtype = \"BF16\" }\n"),
      AllOf(HasSubstr("tensor[0].flax.dtype"), HasSubstr("no type of integers")));
  EXPECT_THAT(FaultOf("[[tensor]]\nrole = \"a\"\nflax = { name = \"o\", empty = \"\" }\n"),
              AllOf(HasSubstr("tensor[0].flax.empty"), HasSubstr("the kind of an empty node")));
  EXPECT_THAT(
      FaultOf("[[tensor]]\nrole = \"layer.{l}.a\"\nflax = { name = \"o\", empty = \"Dict\" }\n"),
      HasSubstr("a constant or empty node has no {l}"));
  EXPECT_THAT(
      FaultOf("[[tensor]]\nrole = \"a\"\nflax = { name = \"o\", empty = \"Dict\", const = 1, "
              "dtype = \"I64\" }\n"),
      HasSubstr("not both"));
}

TEST(FamilyRules, ServedDimensionStandsAloneAndNamesAnother) {
  std::string head(kHead);
  head.replace(head.find(R"(V = { served = "v" })"), 20, R"(V = { served = "w" })");
  const auto unknown = Family::Parse(head + RowOf(R"(layout = "e")"), "small.toml");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().Print(),
              AllOf(HasSubstr("dims.V.served"), HasSubstr("no dimension w")));
  head = kHead;
  head.replace(head.find(R"(V = { served = "v" })"), 20, R"(V = { served = "v", hf = "V" })");
  const auto two = Family::Parse(head + RowOf(R"(layout = "e")"), "small.toml");
  ASSERT_FALSE(two);
  EXPECT_THAT(two.error().Print(), HasSubstr("served stands alone"));
}

TEST(FamilyRules, ModelsNameWhatTheTableHas) {
  const std::string row = RowOf(R"(layout = "e")");
  const auto fault = [&](const std::string& model) {
    return FaultOf("[models]\n\"m\" = { " + model + " }\n" + row);
  };
  EXPECT_THAT(fault("dims = { w = 3 }"),
              AllOf(HasSubstr("models.m.dims"), HasSubstr("no dimension w")));
  EXPECT_THAT(fault("dims = { e = 0 }"), HasSubstr("a dimension is at least 1"));
  EXPECT_THAT(fault("facts = { scaling = \"x\" }"),
              AllOf(HasSubstr("this key is missing"), HasSubstr("models.m.dims")));
  EXPECT_THAT(fault("dims = { e = 3 }, facts = { colour = \"red\" }"),
              AllOf(HasSubstr("models.m.facts"), HasSubstr("no fact colour")));
  EXPECT_THAT(fault("dims = { e = 3 }, cut = \"v\""), HasSubstr("v is cut or resized to no size"));
  EXPECT_THAT(fault("dims = { e = 3 }, choices = { ropes = \"half\" }"),
              HasSubstr("there is no choice ropes"));
  EXPECT_THAT(fault("dims = { e = 3 }, choices = { rope = \"spiral\" }"),
              AllOf(HasSubstr("models.m.choices"), HasSubstr("\"spiral\" is none of its values")));
  EXPECT_THAT(fault("dims = { e = 3 }, choices = { rope = { gguf = \"half\" } }"),
              HasSubstr("there is no scheme gguf"));
}

TEST(FamilyRules, ChoicesFollowFactsAndValuesThatThereAre) {
  const std::string row = RowOf(R"(layout = "e")");
  EXPECT_THAT(FaultOf("facts = { colour = { red = \"half\" } }\n" + row),
              AllOf(HasSubstr("choices.rope.facts"), HasSubstr("no fact colour")));
  EXPECT_THAT(FaultOf("facts = { scaling = { llama3 = \"spiral\" } }\n" + row),
              AllOf(HasSubstr("choices.rope.facts.scaling"), HasSubstr("none of its values")));
  EXPECT_THAT(FaultOf("says = { spiral = \"round\" }\n" + row),
              AllOf(HasSubstr("choices.rope.says"), HasSubstr("none of its values")));
  EXPECT_THAT(FaultOf("server_flags = { spiral = { flag = \"rope=s\" } }\n" + row),
              AllOf(HasSubstr("choices.rope.server_flags"), HasSubstr("none of its values")));
}

TEST(FamilyRules, ValuesOfAChoiceUseTheSameAxes) {
  std::string text(kHead);
  text.replace(text.find("\"t p\""), 5, "\"t v\"");
  const auto family = Family::Parse(text + RowOf(R"(layout = "e")"), "small.toml");
  ASSERT_FALSE(family);
  EXPECT_THAT(family.error().Print(),
              AllOf(HasSubstr("choices.rope.values"), HasSubstr("the same axes")));
}

TEST(FamilyRules, ShapesCountLayersOfRolesThatHaveThem) {
  std::string head(kHead);
  head.replace(head.find(R"(L = { hf = "layers" })"), 21, R"(L = { shape = { hf = "a" } })");
  const auto family = Family::Parse(head + RowOf(R"(layout = "e")"), "small.toml");
  ASSERT_FALSE(family);
  EXPECT_THAT(family.error().Print(), HasSubstr("role a has no axis L"));
  head.replace(head.find("{ hf = \"a\" }"), 12, "{ kaggle = \"a\" }");
  const auto scheme = Family::Parse(head + RowOf(R"(layout = "e")"), "small.toml");
  ASSERT_FALSE(scheme);
  EXPECT_THAT(scheme.error().Print(), HasSubstr("there is no scheme kaggle"));
}

}  // namespace
}  // namespace ckpt
