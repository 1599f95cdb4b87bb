#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/family.h"

namespace ckpt {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::string_view kHead = R"(family = "fused"
schemes = ["hf", "fused"]
[dims]
L = { hf = "layers" }
e = { hf = "width" }
h = { hf = "heads" }
k = { hf = "kv" }
d = { hf = "head" }
)";

std::string RowText(std::string_view role, std::string_view hf, std::string_view fused) {
  return "[[tensor]]\nrole = \"" + std::string(role) + "\"\nhf = { " + std::string(hf) +
         " }\nfused = { " + std::string(fused) + " }\n";
}

Result<FamilyProof> Check(const std::string& rows) {
  const auto family = Family::Parse(std::string(kHead) + rows, "fused.toml");
  EXPECT_TRUE(family) << family.error().Print();
  return CheckFamily(**family);
}

const std::string kQ = RowText("q", R"(name = "q", layout = "(h d) e")",
                               R"(name = "qkv[0 : h*d of (h + k)*d]", layout = "(h d) e")");
const std::string kK = RowText("k", R"(name = "k", layout = "(k d) e")",
                               R"(name = "qkv[h*d : (h + k)*d of (h + k)*d]", layout = "(k d) e")");

TEST(CheckFamily, ProvesFusedTensorsThatAreWhollyUsed) {
  const Result<FamilyProof> proof = Check(kQ + kK);
  ASSERT_TRUE(proof) << proof.error().Print();
  EXPECT_EQ(proof->rows, 2U);
  EXPECT_EQ(proof->schemes, 2U);
  EXPECT_EQ(proof->pairs, 4U);
  EXPECT_EQ(proof->models, 4U);
  EXPECT_GT(proof->elements, 0U);
}

TEST(CheckFamily, FindsElementsThatBelongToNobody) {
  const Result<FamilyProof> proof = Check(kQ);
  ASSERT_FALSE(proof);
  EXPECT_THAT(proof.error().Print(), HasSubstr("elements of qkv belong to no role"));
}

TEST(CheckFamily, FindsElementsThatBelongToTwo) {
  const Result<FamilyProof> proof =
      Check(kQ + RowText("k", R"(name = "k", layout = "(h d) e")",
                         R"(name = "qkv[0 : h*d of (h + k)*d]", layout = "(h d) e")"));
  ASSERT_FALSE(proof);
  EXPECT_THAT(proof.error().Print(), HasSubstr("qkv already belongs"));
}

TEST(CheckFamily, FindsANameThatForgetsTheLayer) {
  const Result<FamilyProof> proof = Check(RowText(
      "layer.{l}.q", R"(name = "layers.{l}.q", layout = "h e")", R"(name = "q", layout = "h e")"));
  ASSERT_FALSE(proof);
  EXPECT_THAT(proof.error().Print(), HasSubstr("another role or layer"));
}

TEST(CheckFamily, ProvesStackedLayers) {
  const Result<FamilyProof> proof =
      Check(RowText("layer.{l}.q", R"(name = "layers.{l}.q", layout = "(h d) e")",
                    R"(name = "q", layout = "e [l] h d")"));
  EXPECT_TRUE(proof) << proof.error().Print();
}

TEST(CheckFamily, ProvesLayersThatAlternateBetweenStacks) {
  const Result<FamilyProof> proof = Check(
      "[[tensor]]\nrole = \"layer.{l}.q\"\nhf = { name = \"layers.{l}.q\", layout = \"h e\" "
      "}\nfused = [\n"
      R"(  { name = "stack_{l % 2}.q", layout = "e [l / 2 of L / 2] h", when = "l < L - L % 2" )"
      "},\n"
      "  { name = \"rest_{l % 2}.q\", layout = \"e h\", when = \"l >= L - L % 2\" } ]\n");
  EXPECT_TRUE(proof) << proof.error().Print();
}

TEST(CheckFamily, FindsASelectionOfTheWrongSize) {
  const Result<FamilyProof> proof = Check(RowText("q", R"(name = "q", layout = "(h d) e")",
                                                  R"(name = "q[0 : h of h]", layout = "(h d) e")"));
  ASSERT_FALSE(proof);
  EXPECT_THAT(proof.error().Print(), HasSubstr("role q, scheme fused"));
}

TEST(CheckFamily, FindsAConstantUnderTheNameOfATensor) {
  const Result<FamilyProof> proof =
      Check(RowText("layer.{l}.q", R"(name = "q.{l}", layout = "h e")",
                    R"(name = "q_{l}", layout = "h e")") +
            "[[tensor]]\nrole = \"step\"\n"
            R"(fused = { name = "q_0", const = 0, dtype = "I64", layout = "h e" })"
            "\n");
  ASSERT_FALSE(proof);
  EXPECT_THAT(proof.error().Print(), HasSubstr("q_0 already belongs to another role"));
}

TEST(CheckFamily, FindsAFactorThatNothingUndoes) {
  const Result<FamilyProof> proof =
      Check(RowText("q", R"(name = "q", layout = "h e")",
                    R"t(name = "q", layout = "h e", value = "bf16(x) * (e - e)")t"));
  ASSERT_FALSE(proof);
  EXPECT_THAT(proof.error().Print(),
              AllOf(HasSubstr("role q, scheme fused"), HasSubstr("a constant is 0")));
}

TEST(CheckFamily, FindsValuesThatTheirArithmeticLoses) {
  const Result<FamilyProof> proof =
      Check(RowText("q", R"(name = "q", layout = "h e")",
                    R"t(name = "q", layout = "h e", value = "f32(x) * f32(1 / (1e22 * 1e22))")t"));
  ASSERT_FALSE(proof);
  EXPECT_THAT(proof.error().Print(), HasSubstr("comes back as"));
}

TEST(CheckFamily, SaysWhenNoDimensionsFit) {
  const auto family = Family::Parse(
      "family = \"x\"\nschemes = [\"hf\"]\n[dims]\nh = 3\nt = { expr = \"h / 2\" }\n"
      "[[tensor]]\nrole = \"q\"\nhf = { name = \"q\", layout = \"t\" }\n",
      "x.toml");
  ASSERT_TRUE(family) << family.error().Print();
  const Result<FamilyProof> proof = CheckFamily(**family);
  ASSERT_FALSE(proof);
  EXPECT_THAT(proof.error().Print(), HasSubstr("no small model satisfies"));
}

}  // namespace
}  // namespace ckpt
