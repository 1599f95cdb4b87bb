#include "model/pattern.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

NamePattern Pattern(std::string_view text) {
  Result<NamePattern> pattern = NamePattern::Parse(text);
  EXPECT_TRUE(pattern) << text;
  return pattern.value_or(NamePattern());
}

TEST(NamePattern, RendersExpressionsOfTheLayer) {
  const Dims dims = {{"L", 26}};
  const Scope scope{dims, 13};
  EXPECT_EQ(Pattern("blk.{l}.attn_q.weight").Render(scope).value_or(""), "blk.13.attn_q.weight");
  EXPECT_EQ(Pattern("layers_{l % 6}/w{l / 6}").Render(scope).value_or(""), "layers_1/w2");
}

TEST(NamePattern, MatchTellsTheLayer) {
  const NamePattern pattern = Pattern("layers.{l}.w1.weight");
  const auto match = pattern.MatchName("layers.31.w1.weight");
  EXPECT_EQ(match.value_or(NamePattern::Match{}).layer, 31U);
}

TEST(NamePattern, MatchesOnlyCanonicalNumbersInTheirPlace) {
  const NamePattern pattern = Pattern("layers.{l}.w1.weight");
  for (const char* name :
       {"layers.01.w1.weight", "layers..w1.weight", "layers.-1.w1.weight", "layers.1.w1.weight2",
        "xlayers.1.w1.weight", "layers.1.w2.weight", "layers.1234567890.w1.weight", ""}) {
    EXPECT_FALSE(pattern.MatchName(name)) << name;
  }
}

TEST(NamePattern, RefusesNamesWhoseNumbersCannotBeToldApart) {
  for (const char* text : {"a{l", "a}b", "{l}{l}", "{l}5", "{}", "{1 +}"}) {
    EXPECT_FALSE(NamePattern::Parse(text)) << text;
  }
}

TEST(Glob, StarStandsForAnything) {
  EXPECT_TRUE(MatchesGlob("*inv_freq*", "model.layers.0.self_attn.rotary_emb.inv_freq"));
  EXPECT_TRUE(MatchesGlob("*.self_attn.*_proj.bias", "model.layers.0.self_attn.q_proj.bias"));
  EXPECT_TRUE(MatchesGlob("a*b*c", "abbbcc"));
  EXPECT_FALSE(MatchesGlob("*.self_attn.*_proj.bias", "model.layers.0.mlp.up_proj.bias"));
  EXPECT_FALSE(MatchesGlob("rope_freqs.weight", "rope_freqs.weight2"));
  EXPECT_TRUE(MatchesGlob("*", ""));
}

}  // namespace
}  // namespace ckpt
