// The model names of models/llama.toml: what a name settles, and which name sizes and rotary
// scaling have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/family.h"
#include "model/model.h"
#include "tests/unit/model/make_catalog.h"

namespace ckpt {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct Published {
  std::string name;
  LlamaSizes sizes;
  bool is_scaled;  // llama3 rope scaling in its configuration
};
// MaxText's configs/models/*.yml, typed in from the specification, not from the table under test.
const std::vector<Published> kPublished = {
    {"llama2-7b", {32, 4096, 32, 32, 128, 11008, 32000}, false},
    {"llama2-13b", {40, 5120, 40, 40, 128, 13824, 32000}, false},
    {"llama2-70b", {80, 8192, 64, 8, 128, 28672, 32000}, false},
    {"llama3-8b", {32, 4096, 32, 8, 128, 14336, 128256}, false},
    {"llama3-70b", {80, 8192, 64, 8, 128, 28672, 128256}, false},
    {"llama3-405b", {126, 16384, 128, 8, 128, 53248, 128256}, false},
    {"llama3.1-8b", {32, 4096, 32, 8, 128, 14336, 128256}, true},
    {"llama3.1-70b", {80, 8192, 64, 8, 128, 28672, 128256}, true},
    {"llama3.1-405b", {126, 16384, 128, 8, 128, 53248, 128256}, true},
    {"llama3.3-70b", {80, 8192, 64, 8, 128, 28672, 128256}, true},
    {"mistral-7b", {32, 4096, 32, 8, 128, 14336, 32000}, false},
};

enum class From : uint8_t { kHf, kMeta, kGguf };

Result<Model> BindFrom(From from, const LlamaSizes& s, bool is_scaled,
                       const BindOptions& options = {}) {
  if (from == From::kHf) {
    SourceConfig config = HfConfig(s);
    if (is_scaled) config.values["rope_scaling.rope_type"] = std::string("llama3");
    return Bind(HfShapes(s), {config}, options);
  }
  if (from == From::kMeta) {
    SourceConfig config = MetaConfig(s);
    config.values["n_kv_heads"] = Signed(s.k);
    config.values["use_scaled_rope"] = is_scaled;
    return Bind(MetaShapes(s), {config}, options);
  }
  NamedShapes shapes = GgufShapes(s);
  if (!is_scaled) shapes.erase("rope_freqs.weight");
  return Bind(shapes, {GgufConfig(s)}, options);
}

Model Bound(From from, const LlamaSizes& sizes, bool is_scaled, const BindOptions& options = {}) {
  Result<Model> model = BindFrom(from, sizes, is_scaled, options);
  EXPECT_TRUE(model) << model.error().Print();
  return model.value_or(Model{});
}

constexpr LlamaSizes kTiny = {1, 64, 4, 2, 16, 128, 256};

std::string NoteOn(const Model& model, std::string_view start) {
  for (const std::string& note : model.notes) {
    if (note.starts_with(start)) return note;
  }
  return "";
}

TEST(ServedModel, SizesAndScalingNameEveryPublishedModel) {
  for (const Published& published : kPublished) {
    const Model model = Bound(From::kHf, published.sizes, published.is_scaled);
    // Nothing in the files tells 3.3 from 3.1.
    const std::string expected = published.name == "llama3.3-70b" ? "llama3.1-70b" : published.name;
    EXPECT_EQ(model.served_name, expected);
    EXPECT_THAT(NoteOn(model, "taken for "), HasSubstr(expected + ": L "));
    EXPECT_THAT(model.warnings, IsEmpty());
  }
}

TEST(ServedModel, PublishedSizesFitTheirNameWithoutAWarning) {
  for (const Published& published : kPublished) {
    const Model model =
        Bound(From::kHf, published.sizes, published.is_scaled, {.model_name = published.name});
    EXPECT_EQ(model.served_name, published.name);
    EXPECT_THAT(model.warnings, IsEmpty());
  }
}

TEST(ServedModel, OtherSizesHaveNoName) {
  const Model tiny_llama = Bound(From::kHf, {22, 2048, 32, 4, 64, 5632, 32000}, false);
  EXPECT_EQ(tiny_llama.served_name, "");
  EXPECT_THAT(NoteOn(tiny_llama, "no model name fits"),
              AllOf(HasSubstr("L 22, d 64, e 2048"), HasSubstr("a configuration of its own")));
  EXPECT_EQ(Bound(From::kHf, {30, 576, 9, 3, 64, 1536, 49152}, false).served_name, "");
}

TEST(ServedModel, AVocabularyOfAnotherSizeIsNotGuessedAway) {
  // Mistral 7B v0.3 has 768 tokens more; only a name given by the user may cut them.
  const LlamaSizes sizes = {32, 4096, 32, 8, 128, 14336, 32768};
  const Model inferred = Bound(From::kHf, sizes, false);
  EXPECT_EQ(inferred.served_name, "");
  EXPECT_EQ(inferred.dims.at("V"), 32768U);
  const Model named = Bound(From::kHf, sizes, false, {.model_name = "mistral-7b"});
  EXPECT_EQ(named.dims.at("V"), 32000U);
  EXPECT_EQ(named.dims.at("v"), 32768U);
  EXPECT_THAT(named.warnings, IsEmpty());
}

TEST(ServedModel, DisagreementWithTheNameIsOneWarningThatNamesEachDimension) {
  const Model model = Bound(From::kHf, kTiny, true, {.model_name = "llama3.1-8b"});
  EXPECT_EQ(model.served_name, "llama3.1-8b");
  EXPECT_EQ(model.dims.at("v"), 256U);
  EXPECT_THAT(
      model.warnings,
      ElementsAre(HasSubstr("not of the size of llama3.1-8b: L is 1, not 32, d is 16, not 128, e "
                            "is 64, not 4096, f is 128, not 14336, h is 4, not 32, k is 2, not 8, "
                            "v is 256, not 128256;")));
}

TEST(ServedModel, DisagreementOnTheRotaryScalingIsAWarning) {
  const Published& llama3_1 = kPublished[6];
  const Model model = Bound(From::kHf, llama3_1.sizes, false, {.model_name = "llama3.1-8b"});
  EXPECT_THAT(model.warnings,
              ElementsAre("rope_scaling is none in the source, but llama3.1-8b has llama3"));
}

TEST(ServedModel, UnknownNameListsThoseThatThereAre) {
  const Result<Model> near = BindFrom(From::kHf, kTiny, false, {.model_name = "llama3.1-8n"});
  ASSERT_FALSE(near);
  EXPECT_EQ(near.error().code, Code::kUsage);
  EXPECT_THAT(near.error().remedy, AllOf(HasSubstr("did you mean llama3.1-8b?"),
                                         HasSubstr("llama2-7b"), HasSubstr("mistral-7b")));
  const Result<Model> far = BindFrom(From::kHf, kTiny, false, {.model_name = "gpt-oss-120b"});
  ASSERT_FALSE(far);
  EXPECT_THAT(far.error().remedy, HasSubstr("names: llama2-7b"));
}

TEST(ServedModel, NameThatFitsTwoSaysHowTheOtherReadsIt) {
  const Model model = Bound(From::kHf, kPublished[7].sizes, true);
  EXPECT_EQ(model.served_name, "llama3.1-70b");
  EXPECT_EQ(model.facts.at("rope"), "interleaved");
  EXPECT_THAT(NoteOn(model, "it may be llama3.3-70b as well"),
              AllOf(HasSubstr("written as llama3.1-70b"), HasSubstr("need rope_type=llama3.1")));
}

struct RopeCase {
  std::string name;
  std::string hf, meta, gguf;
};

TEST(RopeLayout, FollowsNameAndSource) {
  // What MaxText's server expects: half for all but llama3.1; 3.3 as its converters leave it.
  const std::vector<RopeCase> cases = {
      {"llama2-7b", "half", "half", "half"},
      {"llama2-13b", "half", "half", "half"},
      {"llama2-70b", "half", "half", "half"},
      {"llama3-8b", "half", "half", "half"},
      {"llama3-70b", "half", "half", "half"},
      {"llama3-405b", "half", "half", "half"},
      {"mistral-7b", "half", "half", "half"},
      {"llama3.1-8b", "interleaved", "interleaved", "interleaved"},
      {"llama3.1-70b", "interleaved", "interleaved", "interleaved"},
      {"llama3.1-405b", "interleaved", "interleaved", "interleaved"},
      {"llama3.3-70b", "half", "interleaved", "half"},
  };
  for (const RopeCase& c : cases) {
    const BindOptions options = {.model_name = c.name};
    EXPECT_EQ(Bound(From::kHf, kTiny, false, options).facts.at("rope"), c.hf) << c.name;
    EXPECT_EQ(Bound(From::kMeta, kTiny, false, options).facts.at("rope"), c.meta) << c.name;
    EXPECT_EQ(Bound(From::kGguf, kTiny, false, options).facts.at("rope"), c.gguf) << c.name;
  }
}

/// How q's rows of the source come to lie: the number of merged axes tells a copy from a
/// permutation.
bool IsPermuted(const Model& model) {
  const BoundRole& q = *FindRole(model, "layer.0.attention.q");
  const CellInstance cell = CellOf(model, q, "maxtext-unscanned");
  return Compose(q.view, cell.view).axes.size() > 2;  // e and the rows
}

TEST(RopeLayout, PermutesExactlyWhereTheOriginalDoes) {
  const auto is_permuted = [](From from, const std::string& name) {
    return IsPermuted(Bound(from, kTiny, false, {.model_name = name}));
  };
  for (const std::string name : {"llama2-7b", "llama3-8b", "mistral-7b"}) {
    EXPECT_FALSE(is_permuted(From::kHf, name)) << name;
    EXPECT_TRUE(is_permuted(From::kMeta, name)) << name;
  }
  EXPECT_TRUE(is_permuted(From::kHf, "llama3.1-8b"));
  EXPECT_FALSE(is_permuted(From::kMeta, "llama3.1-8b"));
  EXPECT_FALSE(is_permuted(From::kHf, "llama3.3-70b"));
  EXPECT_FALSE(is_permuted(From::kMeta, "llama3.3-70b"));
  EXPECT_TRUE(is_permuted(From::kGguf, "llama3.3-70b"));  // Meta's rows, treated as Hugging Face's
}

TEST(RopeLayout, WithoutANameTheScalingDecides) {
  for (const From from : {From::kHf, From::kMeta, From::kGguf}) {
    const Model scaled = Bound(from, kTiny, true);
    EXPECT_EQ(scaled.facts.at("rope"), "interleaved");
    EXPECT_THAT(NoteOn(scaled, "rope interleaved"),
                AllOf(HasSubstr("(rope_scaling is llama3)"), HasSubstr("rope_type=llama3.1")));
    const Model plain = Bound(from, kTiny, false);
    EXPECT_EQ(plain.facts.at("rope"), "half");
    EXPECT_THAT(NoteOn(plain, "rope half"), HasSubstr("(rope_scaling is none)"));
  }
}

TEST(RopeLayout, TheUsersWordGoesFirst) {
  const Model model =
      Bound(From::kHf, kTiny, true, {.model_name = "llama3.1-8b", .rope_layout = "half"});
  EXPECT_EQ(model.facts.at("rope"), "half");
  EXPECT_THAT(NoteOn(model, "rope half"), HasSubstr("(as asked for)"));
}

TEST(RopeLayout, AServerIsToldWhatTheNameDoesNotImply) {
  const auto flags = [](const BindOptions& options) {
    return Bound(From::kHf, kTiny, true, options).server_flags;
  };
  EXPECT_THAT(flags({.model_name = "llama3.1-8b"}), IsEmpty());
  EXPECT_THAT(flags({.model_name = "llama3.1-8b", .rope_layout = "half"}), IsEmpty());
  EXPECT_THAT(flags({}), ElementsAre("rope_type=llama3.1"));
  EXPECT_THAT(flags({.model_name = "llama3-8b", .rope_layout = "interleaved"}),
              ElementsAre("rope_type=llama3.1"));
  EXPECT_THAT(flags({.model_name = "llama3-8b"}), IsEmpty());
}

TEST(RopeLayout, UnknownWordIsAWrongArgument) {
  const Result<Model> model = BindFrom(From::kHf, kTiny, true, {.rope_layout = "spiral"});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, Code::kUsage);
  EXPECT_EQ(model.error().remedy, "choose one of: half, interleaved");
}

TEST(RopeLayout, FamilyWithoutTheChoiceRefusesTheWord) {
  const auto family = Family::Parse(
      "family = \"x\"\nschemes = [\"hf\"]\n[dims]\ne = 4\n"
      "[[tensor]]\nrole = \"a\"\nhf = { name = \"a\", layout = \"e\" }\n",
      "x.toml");
  ASSERT_TRUE(family) << family.error().Print();
  const std::vector<std::shared_ptr<const Family>> families = {*family};
  const Result<Model> model =
      BindModel(families, MakeCatalog({{"a", {4}}}, {}), {.rope_layout = "half"});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().remedy, "leave --rope-layout away");
}

TEST(RopeLayout, MaxtextSourceWithoutANameIsTakenForHalfWithAWarning) {
  const Result<Model> silent = Bind(MaxtextShapes(kTiny), {});
  ASSERT_TRUE(silent) << silent.error().Print();
  EXPECT_EQ(silent->facts.at("rope"), "half");
  EXPECT_THAT(silent->warnings,
              ElementsAre(HasSubstr("does not say its layout of rope: taken for half")));
  const Result<Model> named = Bind(MaxtextShapes(kTiny), {}, {.model_name = "llama3.1-8b"});
  ASSERT_TRUE(named);
  EXPECT_EQ(named->facts.at("rope"), "interleaved");
  EXPECT_THAT(named->warnings, Not(Contains(HasSubstr("does not say"))));
  const Result<Model> told = Bind(MaxtextShapes(kTiny), {}, {.rope_layout = "interleaved"});
  ASSERT_TRUE(told);
  EXPECT_EQ(told->facts.at("rope"), "interleaved");
  EXPECT_THAT(told->warnings, IsEmpty());
}

}  // namespace
}  // namespace ckpt
