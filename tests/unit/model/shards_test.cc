#include "model/shards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/model/make_catalog.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kWidth = 16;
constexpr uint64_t kHeads = 4;
constexpr uint64_t kVocabulary = 40;
constexpr uint64_t kFeedForward = 24;

SourceConfig Params(int64_t kv_heads, int64_t vocabulary) {
  SourceConfig config{"meta", "params.json", {}, {}};
  config.values = {{"dim", int64_t{kWidth}},
                   {"n_layers", int64_t{1}},
                   {"n_heads", int64_t{kHeads}},
                   {"n_kv_heads", kv_heads},
                   {"vocab_size", vocabulary}};
  return config;
}

// What each of `count` ranks holds; vectors in full.
Catalog Shards(uint64_t count, const NamedShapes& shapes, const SourceConfig& config) {
  Catalog catalog = MakeCatalog({}, {config});
  catalog.format = "meta-consolidated";
  for (uint64_t rank = 0; rank < count; ++rank) {
    catalog.objects.push_back({"consolidated.0" + std::to_string(rank) + ".pth", 1000, {}, 0, {}});
    std::vector<TensorEntry> shard;
    for (const auto& [name, shape] : shapes) {
      const uint64_t bytes = *shape.Elements() * 2;
      shard.push_back(ContiguousEntry(name, DType::kBF16, shape, static_cast<uint32_t>(rank),
                                      {100, 100 + bytes}));
    }
    catalog.shards.push_back(std::move(shard));
  }
  return catalog;
}

NamedShapes Parts(uint64_t count, uint64_t kv_rows, bool is_cut_by_width) {
  const Shape embedding =
      is_cut_by_width ? Shape{kVocabulary, kWidth / count} : Shape{kVocabulary / count, kWidth};
  return {{"tok_embeddings.weight", embedding},
          {"output.weight", {kVocabulary / count, kWidth}},
          {"norm.weight", {kWidth}},
          {"rope.freqs", {2}},
          {"layers.0.attention_norm.weight", {kWidth}},
          {"layers.0.ffn_norm.weight", {kWidth}},
          {"layers.0.attention.wq.weight", {kWidth / count, kWidth}},
          {"layers.0.attention.wk.weight", {kv_rows, kWidth}},
          {"layers.0.attention.wv.weight", {kv_rows, kWidth}},
          {"layers.0.attention.wo.weight", {kWidth, kWidth / count}},
          {"layers.0.feed_forward.w1.weight", {kFeedForward / count, kWidth}},
          {"layers.0.feed_forward.w2.weight", {kWidth, kFeedForward / count}},
          {"layers.0.feed_forward.w3.weight", {kFeedForward / count, kWidth}}};
}

const TensorEntry& Named(const Catalog& catalog, const std::string& name) {
  const auto at = std::find_if(catalog.tensors.begin(), catalog.tensors.end(),
                               [&](const TensorEntry& each) { return each.name == name; });
  EXPECT_NE(at, catalog.tensors.end()) << name;
  return *at;
}

TEST(JoinShards, CutsEachTensorAlongItsAxis) {
  Catalog catalog = Shards(2, Parts(2, kWidth / 2, false), Params(kHeads, kVocabulary));
  ASSERT_TRUE(JoinShards(Shipped(), "", catalog));
  EXPECT_TRUE(catalog.shards.empty());
  const TensorEntry& rows = Named(catalog, "layers.0.attention.wq.weight");
  EXPECT_EQ(rows.shape, Shape({kWidth, kWidth}));
  ASSERT_EQ(rows.pieces.size(), 2U);
  EXPECT_EQ(rows.pieces[1].box, (Box{{kWidth / 2, 0}, {kWidth, kWidth}}));
  EXPECT_EQ(rows.pieces[1].object, 1U);
  const TensorEntry& columns = Named(catalog, "layers.0.feed_forward.w2.weight");
  EXPECT_EQ(columns.shape, Shape({kWidth, kFeedForward}));
  EXPECT_EQ(columns.pieces[1].box, (Box{{0, kFeedForward / 2}, {kWidth, kFeedForward}}));
  EXPECT_EQ(columns.pieces[1].byte_strides, (std::vector<uint64_t>{kFeedForward, 2}));
  EXPECT_TRUE(HasDensePieces(columns));
  EXPECT_EQ(columns.size_bytes, 2 * kWidth * kFeedForward);
  EXPECT_EQ(Named(catalog, "norm.weight").pieces.size(), 1U);
  const Result<Model> model = BindModel(Shipped(), catalog, {});
  EXPECT_TRUE(model) << model.error().Print();
}

TEST(JoinShards, TellsTheEmbeddingsAxisFromShapes) {
  for (const bool is_cut_by_width : {false, true}) {
    for (const int64_t vocabulary : {int64_t{-1}, int64_t{kVocabulary}}) {
      Catalog catalog =
          Shards(4, Parts(4, kWidth / 4, is_cut_by_width), Params(kHeads, vocabulary));
      ASSERT_TRUE(JoinShards(Shipped(), "", catalog));
      const TensorEntry& embedding = Named(catalog, "tok_embeddings.weight");
      EXPECT_EQ(embedding.shape, Shape({kVocabulary, kWidth}));
      EXPECT_EQ(embedding.pieces[1].box.begin[is_cut_by_width ? 1 : 0],
                is_cut_by_width ? kWidth / 4 : kVocabulary / 4);
    }
  }
}

TEST(JoinShards, TakesEveryRthShardOfRepeatedHeads) {
  // 2 key and value heads in 4 ranks: each rank holds a whole head, each head twice.
  Catalog catalog = Shards(4, Parts(4, kWidth / kHeads, false), Params(2, -1));
  ASSERT_TRUE(JoinShards(Shipped(), "", catalog));
  const TensorEntry& keys = Named(catalog, "layers.0.attention.wk.weight");
  EXPECT_EQ(keys.shape, Shape({kWidth / 2, kWidth}));
  ASSERT_EQ(keys.pieces.size(), 2U);
  EXPECT_EQ(keys.pieces[1].object, 2U);
  ASSERT_EQ(catalog.warnings.size(), 1U);
  EXPECT_THAT(catalog.warnings[0], HasSubstr("2 tensors are held 2 times over"));
  // As many heads as ranks: all of them count.
  Catalog all = Shards(4, Parts(4, kWidth / kHeads, false), Params(4, -1));
  ASSERT_TRUE(JoinShards(Shipped(), "", all));
  EXPECT_EQ(Named(all, "layers.0.attention.wk.weight").pieces.size(), 4U);
}

TEST(JoinShards, LeavesAMissingHalfForTheAccountToTell) {
  Catalog catalog = Shards(2, Parts(4, kWidth / 4, false), Params(kHeads, kVocabulary));
  const Result<void> joined = JoinShards(Shipped(), "", catalog);
  ASSERT_FALSE(joined);
  EXPECT_THAT(joined.error().what, HasSubstr("params.json does not tell along which axis"));
  NamedShapes parts = Parts(4, kWidth / 4, false);
  parts["tok_embeddings.weight"] = {kVocabulary / 2, kWidth};
  Catalog half = Shards(2, parts, Params(kHeads, kVocabulary));
  ASSERT_TRUE(JoinShards(Shipped(), "", half));
  const Result<Model> model = BindModel(Shipped(), half, {});
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().Print(), HasSubstr("shard missing?"));
}

TEST(JoinShards, NeedsParamsAndAFamilyThatKnowsShards) {
  Catalog catalog = Shards(2, Parts(2, kWidth / 2, false), Params(kHeads, kVocabulary));
  catalog.configs.clear();
  const Result<void> joined = JoinShards(Shipped(), "", catalog);
  ASSERT_FALSE(joined);
  EXPECT_THAT(joined.error().what, HasSubstr("no params.json beside the shards: family llama"));
}

TEST(JoinShards, KeepsUnknownTensorsForTheAccount) {
  NamedShapes parts = Parts(2, kWidth / 2, false);
  parts["layers.0.extra.weight"] = {2, 2};
  Catalog catalog = Shards(2, parts, Params(kHeads, kVocabulary));
  ASSERT_TRUE(JoinShards(Shipped(), "", catalog));
  const Result<Model> model = BindModel(Shipped(), catalog, {});
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().Print(), HasSubstr("layers.0.extra.weight"));
}

}  // namespace
}  // namespace ckpt
