#include "model/family.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "model/model.h"

namespace ckpt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kSmall = R"(family = "small"
schemes = ["hf", "gguf"]
[dims]
L = { hf = "layers" }
e = { hf = ["width", "size"], default = "h * d" }
h = { hf = "heads" }
d = 4
[[tensor]]
role = "layer.{l}.q"
gguf = { name = "q.{l}", layout = "(d h) e" }
hf = { name = "layers.{l}.q", layout = "(h d) e" }
)";

std::string Replaced(std::string_view from, std::string_view to) {
  std::string text(kSmall);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

Error ErrorOf(const std::string& toml) {
  const auto family = Family::Parse(toml, "small.toml");
  EXPECT_FALSE(family) << toml;
  return family ? Error{} : family.error();
}

TEST(Family, ReadsATable) {
  const auto family = Family::Parse(kSmall, "small.toml");
  ASSERT_TRUE(family) << family.error().Print();
  EXPECT_EQ((*family)->name(), "small");
  EXPECT_THAT((*family)->schemes(), ElementsAre("hf", "gguf"));
  EXPECT_EQ((*family)->rows().size(), 1U);
}

TEST(Family, CanonicalAxesAreThoseOfTheHfCell) {
  const auto family = Family::Parse(kSmall, "small.toml");
  ASSERT_TRUE(family);
  EXPECT_THAT((*family)->rows()[0].axes, ElementsAre("h", "d", "e"));
}

TEST(Family, CanonicalAxesAreThoseOfTheFirstCellOfTheFileWithoutHf) {
  const std::string toml = Replaced(R"(schemes = ["hf")", R"(schemes = ["a")");
  std::string text = toml;
  text.replace(text.find("hf = { name"), 2, "a");
  const auto family = Family::Parse(text, "small.toml");
  ASSERT_TRUE(family) << family.error().Print();
  EXPECT_THAT((*family)->rows()[0].axes,
              ElementsAre("d", "h", "e"));  // gguf stands first, a sorts first
}

TEST(Family, DimensionsFollowThoseTheyNeed) {
  const auto family = Family::Parse(kSmall, "small.toml");
  ASSERT_TRUE(family);
  std::vector<std::string> order;
  for (const DimRule& rule : (*family)->table().dims) order.push_back(rule.name);
  EXPECT_THAT(order, ElementsAre("L", "h", "d", "e"));
}

TEST(Family, SyntaxErrorNamesFileAndLine) {
  const Error error = ErrorOf("family = \"x\"\nschemes = [\n[dims]\n");
  EXPECT_EQ(error.code, Code::kBadInput);
  EXPECT_THAT(error.Print(), HasSubstr("small.toml, line 3"));
}

TEST(Family, FaultNamesFileLineKeyAndRemedy) {
  const Error error =
      ErrorOf(Replaced(R"(layout = "(h d) e")", R"(layuot = "(h d) e", layout = "(h d) e")"));
  EXPECT_EQ(error.what, "unknown key");
  EXPECT_EQ(error.remedy, "did you mean layout?");
  EXPECT_THAT(error.where, ElementsAre(Place{"key", "tensor[0].hf.layuot"},
                                       Place{"file", "small.toml, line 11"}));
}

TEST(Family, AllFaultsAreSaidAtOnce) {
  const Error error = ErrorOf("famly = \"x\"\n[dims]\nd = 0\n[[tensor]]\nrole = 3\n");
  EXPECT_THAT(error.Print(), HasSubstr("line 1, famly: unknown key: did you mean family?"));
  EXPECT_THAT(error.Print(), HasSubstr("schemes: this key is missing"));
  EXPECT_THAT(error.Print(), HasSubstr("line 3, dims.d: a dimension is at least 1"));
  EXPECT_THAT(error.Print(), HasSubstr("line 5, tensor[0].role: a text is expected"));
}

TEST(Family, RefusesCellsOfOtherAxes) {
  EXPECT_THAT(ErrorOf(Replaced("(d h) e", "(d h)")).what, HasSubstr("other axes"));
}

TEST(Family, RefusesAnAxisWithoutExtent) {
  EXPECT_THAT(ErrorOf(Replaced("d = 4\n", "")).Print(), HasSubstr("axis d has no extent"));
}

TEST(Family, RefusesAnUnknownNameInAnExpression) {
  EXPECT_THAT(ErrorOf(Replaced("h * d", "h * x")).Print(), HasSubstr("there is no dimension x"));
}

TEST(Family, RefusesDimensionsInACircle) {
  const std::string text = Replaced(R"(h = { hf = "heads" })", R"(h = { expr = "e / d" })");
  EXPECT_THAT(ErrorOf(text).Print(), HasSubstr("dims.h: this dimension follows from itself"));
}

TEST(Family, RefusesTwoRowsOfOneName) {
  const std::string row =
      "[[tensor]]\nrole = \"other\"\nhf = { name = \"layers.{l}.q\", layout = \"e\" }\n";
  const std::string text = ErrorOf(std::string(kSmall) + row).Print();
  EXPECT_THAT(text, HasSubstr("already belongs to role layer.{l}.q"));
  EXPECT_THAT(text, HasSubstr("l has a value only in rows whose role has {l}"));
}

TEST(Family, RefusesATieToNobody) {
  const std::string text =
      Replaced(R"(role = "layer.{l}.q")", "role = \"layer.{l}.q\"\ntied = { role = \"x\" }");
  EXPECT_THAT(ErrorOf(text).what, HasSubstr("there is no role x"));
}

TEST(Family, NamedChoiceGivesOneLayoutPerValue) {
  std::string text = Replaced("(h d) e", "(h {rope}) e");
  text = text.replace(text.find("d = 4"), 5, "p = 2\nt = 2");
  text = text.replace(text.find("(d h) e"), 7, "(t p h) e");
  text = text.replace(text.find("h * d"), 5, "h * 4");
  text +=
      "[choices.rope]\ndefault = \"half\"\nvalues = { half = \"p t\", interleaved = \"t p\" }\n";
  const auto family = Family::Parse(text, "small.toml");
  ASSERT_TRUE(family) << family.error().Print();
  const Cell& cell = (*family)->rows()[0].cells[1];
  EXPECT_EQ((*(*family)->FindLayout(cell, {}))->text, "(h p t) e");
  EXPECT_EQ((*(*family)->FindLayout(cell, {{"rope", "interleaved"}}))->text, "(h t p) e");
  EXPECT_FALSE((*family)->FindLayout(cell, {{"rope", "spiral"}}));
}

TEST(Family, CellsOfOneSchemeDifferInTheirCondition) {
  const auto family = Family::Parse(
      Replaced(R"(hf = { name = "layers.{l}.q", layout = "(h d) e" })",
               "hf = [{ name = \"first.{l}.q\", layout = \"(h d) e\", when = \"l < 2\" },\n"
               R"(      { name = "rest", layout = "[l - 2 of L - 2] (h d) e", when = "l >= 2" }])"),
      "small.toml");
  ASSERT_TRUE(family) << family.error().Print();
  const Dims dims = {{"L", 5}};
  const Row& row = (*family)->rows()[0];
  EXPECT_EQ((*(*family)->FindCell(row, "hf", Scope{dims, 1}))->name.text(), "first.{l}.q");
  EXPECT_EQ((*(*family)->FindCell(row, "hf", Scope{dims, 2}))->name.text(), "rest");
  EXPECT_EQ(*(*family)->FindCell(row, "meta", Scope{dims, 2}), nullptr);
}

class TableFile : public testing::Test {
 protected:
  std::string Write(const std::string& name, std::string_view text) {
    const auto path = std::filesystem::path(testing::TempDir()) / ("ckpt_" + name);
    std::ofstream(path) << text;
    files_.push_back(path);
    return path.string();
  }
  void TearDown() override {
    for (const auto& file : files_) std::filesystem::remove(file);
  }
  std::vector<std::filesystem::path> files_;
};

TEST_F(TableFile, OverridesAFamilyOfItsName) {
  std::string text(kSmall);
  text.replace(text.find("small"), 5, "llama");
  const std::vector<std::string> files = {Write("small.toml", kSmall), Write("llama.toml", text)};
  const auto shipped = LoadFamilies({});
  const auto families = LoadFamilies(files);
  ASSERT_TRUE(shipped) << shipped.error().Print();
  ASSERT_TRUE(families) << families.error().Print();
  ASSERT_EQ(families->size(), shipped->size() + 1);
  EXPECT_EQ((*families)[0]->name(), "llama");
  EXPECT_EQ((*families)[0]->file(), files[1]);
  EXPECT_EQ(families->back()->name(), "small");
}

TEST_F(TableFile, MissingIsAWrongArgument) {
  const auto families = LoadFamilies(std::vector<std::string>{"/nowhere/at/all.toml"});
  ASSERT_FALSE(families);
  EXPECT_EQ(families.error().code, Code::kUsage);
  EXPECT_THAT(families.error().Print(), HasSubstr("/nowhere/at/all.toml"));
}

}  // namespace
}  // namespace ckpt
