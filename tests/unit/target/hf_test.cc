#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "source/config.h"
#include "target/hf/config_check.h"
#include "target/hf/index_json.h"
#include "target/hf/target.h"
#include "tests/unit/run/tiny_hf.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

std::shared_ptr<MemoryStore> StoreOf(const TinyLlama& model) {
  auto store = std::make_shared<MemoryStore>();
  model.WriteTo(*store);
  return store;
}

constexpr uint64_t kDim = 64;
constexpr uint64_t kInner = 96;

// A Mixtral of zeros with so many experts.
std::shared_ptr<MemoryStore> Mixtral(uint64_t experts) {
  std::vector<safetensors::TensorSpec> tensors;
  const auto add = [&](const std::string& name, Shape shape) {
    tensors.push_back({name + ".weight", DType::kBF16, std::move(shape)});
  };
  add("model.embed_tokens", {40, kDim});
  add("lm_head", {40, kDim});
  add("model.norm", {kDim});
  const std::string layer = "model.layers.0.";
  for (const char* norm : {"input_layernorm", "post_attention_layernorm"})
    add(layer + norm, {kDim});
  for (const char* matrix : {"q_proj", "k_proj", "v_proj", "o_proj"})
    add(layer + "self_attn." + matrix, {kDim, kDim});
  add(layer + "block_sparse_moe.gate", {experts, kDim});
  for (uint64_t x = 0; x < experts; ++x) {
    const std::string expert = layer + "block_sparse_moe.experts." + std::to_string(x) + ".";
    add(expert + "w1", {kInner, kDim});
    add(expert + "w2", {kDim, kInner});
    add(expert + "w3", {kInner, kDim});
  }
  auto header = safetensors::EncodeHeader(tensors, std::nullopt);
  EXPECT_TRUE(header);
  auto store = std::make_shared<MemoryStore>();
  store->Put("model.safetensors", header->bytes + std::string(header->data_bytes, '\0'));
  store->Put("config.json",
             R"({"architectures": ["MixtralForCausalLM"], "num_hidden_layers": 1,
                 "hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2,
                 "intermediate_size": 96, "vocab_size": 40, "num_local_experts": )" +
                 std::to_string(experts) + "}");
  return store;
}

std::vector<std::string> NamesIn(const OutputSpec& output, const FileSpec& file) {
  std::vector<std::string> names;
  names.reserve(file.arrays.size());
  for (const size_t array : file.arrays) names.push_back(output.arrays[array].name);
  return names;
}

uint64_t DataBytes(const FileSpec& file) { return file.size_bytes - file.header.size(); }

// --------------------------------------------------------------------- files

TEST(HfTarget, OneFileWhereTheLimitIsNotReached) {
  const auto plan = MakeTinyHfPlan(StoreOf({}), {.max_shard_bytes = 0});
  ASSERT_TRUE(plan) << plan.error().Print();
  ASSERT_THAT(plan->output.files, SizeIs(1));
  const FileSpec& file = plan->output.files[0];
  EXPECT_EQ(file.name, "model.safetensors");
  EXPECT_THAT(file.header, HasSubstr(R"({"__metadata__":{"format":"pt"},)"));
  EXPECT_EQ(file.header.size() % 8, 0U);
  EXPECT_TRUE(plan->output.companions.empty()) << "no index";
  ASSERT_TRUE(plan->output.marker);
  EXPECT_EQ(plan->output.marker->name, "config.json");
  EXPECT_EQ(*plan->output.marker->text, TinyLlama{}.Config());
  EXPECT_EQ(plan->output.LastName(), "config.json");
}

TEST(HfTarget, ANewFileBeginsWhereTheNextTensorWouldBeTooMuch) {
  const TinyLlama model;
  const uint64_t embedding = model.vocab * model.dim * 2 + 512;
  const uint64_t norm = model.dim * 2 + 512;
  const uint64_t query = model.dim * model.dim * 2 + 512;
  const auto files_at = [&](uint64_t limit) {
    const auto plan = MakeTinyHfPlan(StoreOf(model), {.max_shard_bytes = limit});
    EXPECT_TRUE(plan) << plan.error().Print();
    std::vector<std::vector<std::string>> files;
    files.reserve(plan->output.files.size());
    for (const FileSpec& file : plan->output.files) files.push_back(NamesIn(plan->output, file));
    return files;
  };
  const std::string layer = "model.layers.0.";
  EXPECT_THAT(files_at(embedding + norm + query)[0],
              ElementsAre("model.embed_tokens.weight", layer + "input_layernorm.weight",
                          layer + "self_attn.q_proj.weight"))
      << "it just fits";
  EXPECT_THAT(files_at(embedding + norm + query - 1)[0],
              ElementsAre("model.embed_tokens.weight", layer + "input_layernorm.weight"));
}

TEST(HfTarget, FilesAreNumberedAndWithinTheLimitButForOneTensor) {
  for (const uint64_t limit : {1ULL << 10, 100'000ULL, 200'000ULL, 400'000ULL, 1'000'000ULL}) {
    const auto plan = MakeTinyHfPlan(StoreOf({}), {.max_shard_bytes = limit});
    ASSERT_TRUE(plan) << plan.error().Print();
    const std::vector<FileSpec>& files = plan->output.files;
    ASSERT_GE(files.size(), 2U);
    std::set<std::string> seen;
    for (size_t i = 0; i < files.size(); ++i) {
      EXPECT_EQ(files[i].name,
                fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, files.size()));
      EXPECT_TRUE(files[i].size_bytes <= limit || files[i].arrays.size() == 1) << files[i].name;
      for (const std::string& name : NamesIn(plan->output, files[i]))
        EXPECT_TRUE(seen.insert(name).second) << name;
    }
    EXPECT_EQ(seen.size(), plan->output.arrays.size());
  }
}

TEST(HfTarget, TheDefaultLimitIsThatOfHubs) {
  TinyLlama model;
  model.vocab = 5'000'000;  // 2.56 GB, twice
  const auto store = StoreOf({.layers = 1});
  auto header = safetensors::EncodeHeader(model.Tensors(), std::nullopt);
  ASSERT_TRUE(header);
  MemoryBudget budget(128ULL << 20);
  // Only the shapes count: the target sees no bytes.
  const auto catalog = OpenSource({store, ""}, budget);
  ASSERT_TRUE(catalog);
  Catalog large = *catalog;
  for (TensorEntry& tensor : large.tensors) {
    if (tensor.shape == Shape{500, 256}) tensor.shape = {5'000'000, 256};
  }
  model.layers = 1;
  large.configs = {*FlattenConfig("hf", "config.json", model.Config())};
  const auto bound = BindModel(*LoadFamilies({}), large, {});
  ASSERT_TRUE(bound) << bound.error().Print();
  const auto output = HfTarget().Describe(*bound, large, {}, {});
  ASSERT_TRUE(output) << output.error().Print();
  ASSERT_THAT(output->files, SizeIs(2)) << "5 GB hold one of them";
  EXPECT_LE(output->files[0].size_bytes, kMaxShardBytes);
}

// --------------------------------------------------------------------- arrays

TEST(HfTarget, EachExpertIsATensorOfItsOwn) {
  const auto plan = MakeTinyHfPlan(Mixtral(3), {.max_shard_bytes = 0});
  ASSERT_TRUE(plan) << plan.error().Print();
  const OutputSpec& output = plan->output;
  size_t parts = 0;
  for (size_t i = 0; i < output.arrays.size(); ++i) {
    const ArraySpec& array = output.arrays[i];
    if (!array.part) continue;
    ++parts;
    EXPECT_EQ(array.part->axis, 0U);
    EXPECT_THAT(array.name, HasSubstr("experts." + std::to_string(array.part->index) + ".w"))
        << array.name;
    const bool is_down = array.name.ends_with("w2.weight");
    EXPECT_EQ(array.shape, is_down ? (Shape{64, 96}) : (Shape{96, 64})) << array.name;
    EXPECT_THAT(array.view.extents, SizeIs(2)) << "the experts are no axis of it";
    // It comes from the tensor of this very expert.
    EXPECT_EQ(plan->catalog.tensors[plan->arrays[i].tensor].name, array.name);
  }
  EXPECT_EQ(parts, 9U);
}

TEST(HfTarget, ExpertsMayLieInSeveralFiles) {
  const auto plan = MakeTinyHfPlan(Mixtral(8), {.max_shard_bytes = 30'000});
  ASSERT_TRUE(plan) << plan.error().Print();
  const std::string first = "model.layers.0.block_sparse_moe.experts.0.w1.weight";
  const std::string last = "model.layers.0.block_sparse_moe.experts.7.w1.weight";
  std::string of_first;
  std::string of_last;
  for (const FileSpec& file : plan->output.files) {
    EXPECT_LE(file.size_bytes, 30'000U);
    for (const std::string& name : NamesIn(plan->output, file)) {
      if (name == first) of_first = file.name;
      if (name == last) of_last = file.name;
    }
  }
  EXPECT_NE(of_first, "");
  EXPECT_NE(of_last, "");
  EXPECT_NE(of_first, of_last);
}

TEST(HfTarget, ATiedHeadIsNoTensorUnlessTheConfigurationAsksForOne) {
  TinyLlama model;
  model.is_tied = true;
  const auto plan = MakeTinyHfPlan(StoreOf(model), {});
  ASSERT_TRUE(plan) << plan.error().Print();
  const auto heads = [](const OutputSpec& output) {
    return std::count_if(output.arrays.begin(), output.arrays.end(),
                         [](const ArraySpec& array) { return array.name == "lm_head.weight"; });
  };
  EXPECT_EQ(heads(plan->output), 0);
  Catalog catalog = plan->catalog;
  model.is_tied = false;
  catalog.configs = {*FlattenConfig("hf", "config.json", model.Config())};
  const auto output = HfTarget().Describe(plan->model, catalog, {}, {});
  ASSERT_TRUE(output) << output.error().Print();
  EXPECT_EQ(heads(*output), 1);
}

// --------------------------------------------------------------------- beside the files

TEST(HfTarget, TheIndexIsWhatPythonWrites) {
  OutputSpec output;
  for (const char* name : {"b", "a.9", "a.10", "\xc3\xbc"}) {
    output.arrays.emplace_back();
    output.arrays.back().name = name;
  }
  output.files.resize(2);
  output.files[0] = {"model-00001-of-00002.safetensors", "1234", {0, 3}, {4, 14}, 104};
  output.files[1] = {"model-00002-of-00002.safetensors", "12345678", {1, 2}, {8, 10}, 58};
  EXPECT_EQ(PrintIndex(output), R"({
  "metadata": {
    "total_size": 150
  },
  "weight_map": {
    "a.10": "model-00002-of-00002.safetensors",
    "a.9": "model-00002-of-00002.safetensors",
    "b": "model-00001-of-00002.safetensors",
    "\u00fc": "model-00001-of-00002.safetensors"
  }
}
)");
}

TEST(HfTarget, SeveralFilesHaveTheirIndexBesideThem) {
  const auto plan = MakeTinyHfPlan(StoreOf({}), {});
  ASSERT_TRUE(plan) << plan.error().Print();
  ASSERT_THAT(plan->output.companions, SizeIs(1));
  EXPECT_EQ(plan->output.companions[0].name, kIndexName);
  EXPECT_EQ(*plan->output.companions[0].text, PrintIndex(plan->output));
  const auto index = nlohmann::json::parse(*plan->output.companions[0].text);
  uint64_t bytes = 0;
  for (const FileSpec& file : plan->output.files) bytes += DataBytes(file);
  EXPECT_EQ(index["metadata"]["total_size"], bytes);
  EXPECT_EQ(index["weight_map"].size(), plan->output.arrays.size());
}

TEST(HfTarget, TakesForAMarkerWhatALoaderWouldLoad) {
  const HfTarget target;
  for (const char* name : {"config.json", "model.safetensors", "model.safetensors.index.json",
                           "model-00001-of-00002.safetensors"})
    EXPECT_TRUE(target.IsMarker(name)) << name;
  for (const char* name : {"tokenizer.json", "model.safetensors.part", "original/model.safetensors",
                           "original/config.json", "generation_config.json"})
    EXPECT_FALSE(target.IsMarker(name)) << name;
}

TEST(HfTarget, ASourceWithoutAConfigurationNamesTheOption) {
  const auto plan = MakeTinyHfPlan(StoreOf({}), {});
  ASSERT_TRUE(plan);
  Catalog catalog = plan->catalog;
  catalog.configs.clear();
  const auto output = HfTarget().Describe(plan->model, catalog, {}, {});
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, Code::kUsage);
  EXPECT_THAT(output.error().remedy, HasSubstr("--config FILE"));
}

// --------------------------------------------------------------------- a configuration is held

// A catalog as GGUF gives it, with a config.json of the user.
Catalog WithOther(const Plan& plan, const TinyLlama& other) {
  Catalog catalog = plan.catalog;
  SourceConfig own = *FlattenConfig("hf", "config.json", TinyLlama{}.Config());
  own.kind = "gguf";
  catalog.configs = {*FlattenConfig("hf", "config.json", other.Config()), own};
  return catalog;
}

TEST(CheckConfig, AllThatDiffersIsNamedAtOnce) {
  const auto plan = MakeTinyHfPlan(StoreOf({}), {});
  ASSERT_TRUE(plan);
  Model model = plan->model;
  model.source_scheme = "gguf";
  Catalog same = WithOther(*plan, {});
  EXPECT_TRUE(CheckConfig(model, same, same.configs[0]));
  TinyLlama other;
  other.layers = 4;
  other.mlp = 100;
  Catalog catalog = WithOther(*plan, other);
  const auto checked = CheckConfig(model, catalog, catalog.configs[0]);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Code::kBadInput);
  EXPECT_THAT(checked.error().details, ElementsAre("num_hidden_layers: 4, the weights have 3",
                                                   "intermediate_size: 100, the weights have 384"));
}

TEST(CheckConfig, OneOfAModelWithOtherPartsIsRefused) {
  const auto plan = MakeTinyHfPlan(StoreOf({}), {});
  ASSERT_TRUE(plan);
  const auto config = FlattenConfig(
      "hf", "config.json", R"({"text_config": {"hidden_size": 256}, "vision_config": {}})");
  ASSERT_TRUE(config);
  const auto checked = CheckConfig(plan->model, plan->catalog, *config);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Code::kUsage);
  EXPECT_THAT(checked.error().remedy, HasSubstr("--config FILE"));
}

}  // namespace
}  // namespace ckpt
