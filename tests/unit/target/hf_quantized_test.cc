// Hugging Face's form, quantized: which modules become which arrays, what is ignored, what
// config.json says. No byte of a weight is looked at.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "target/hf/ignore.h"
#include "target/hf/schemes.h"
#include "target/hf/target.h"
#include "tests/unit/model/make_catalog.h"

namespace ckpt {
namespace {

const std::vector<std::string> kWords = {"fp8-dynamic", "w8a8",          "fp8-block", "w4a16",
                                         "w8a16",       "w8a16-channel", "w4a16-asym"};
// Two layers, 4 heads of 90 and one of keys: queries have 360 rows, keys 90, and the output
// projection's 360 inputs are no whole groups.
constexpr LlamaSizes kSizes = {2, 256, 4, 1, 90, 384, 64};
const std::string kLayer = "model.layers.0.";

struct Described {
  OutputSpec output;
  std::map<std::string, ArraySpec> arrays;

  std::string ShapeOf(const std::string& name) const {
    const auto found = arrays.find(name);
    if (found == arrays.end()) return "none";
    return fmt::format("{} {}", Name(found->second.dtype), ToString(found->second.shape));
  }
  nlohmann::json Config() const { return nlohmann::json::parse(*output.marker->text); }
  std::vector<std::string> Ignored() const {
    return Config().at("quantization_config").at("ignore");
  }
};

Result<Described> Describe(const TargetSettings& settings, const NamedShapes& shapes,
                           SourceConfig config) {
  config.values["head_dim"] = Signed(kSizes.d);
  config.text =
      R"({"z": 1e-06, "a": [1, {"b": null}], "quantization_config": {"quant_method": 1}})";
  const std::vector<SourceConfig> configs = {config};
  const Catalog catalog = MakeCatalog(shapes, configs);
  CKPT_TRY(const Model model, BindModel(Shipped(), catalog, {}));
  Described made;
  CKPT_TRY(made.output, HfTarget().Describe(model, catalog, {}, settings));
  for (const ArraySpec& array : made.output.arrays) made.arrays[array.name] = array;
  return made;
}
Result<Described> DescribeLlama(const TargetSettings& settings, const LlamaSizes& sizes = kSizes) {
  return Describe(settings, HfShapes(sizes), HfConfig(sizes));
}

TargetSettings Quantize(const std::string& word, std::vector<std::string> ignore = {}) {
  TargetSettings settings{word, false, ""};
  settings.ignore = std::move(ignore);
  return settings;
}

// --------------------------------------------------------------------- schemes

TEST(CtSchemes, EveryWordAndEveryAliasNamesOneScheme) {
  const std::span<const std::string> words = CtWords();
  EXPECT_EQ(words.size(), 2 * kWords.size());
  std::set<std::string> different(words.begin(), words.end());
  EXPECT_EQ(different.size(), words.size());
  for (const std::string& word : kWords) {
    const CtScheme* const scheme = FindCtScheme(word);
    ASSERT_NE(scheme, nullptr) << word;
    EXPECT_EQ(FindCtScheme(scheme->alias), scheme);
    EXPECT_EQ(different.count(std::string(scheme->alias)), 1U);
  }
  EXPECT_EQ(FindCtScheme(""), nullptr);
  EXPECT_EQ(FindCtScheme("fp8"), nullptr);
}

TEST(CtSchemes, TheConfigurationSaysWhatTheArraysAre) {
  for (const std::string& word : kWords) {
    const CtScheme& scheme = *FindCtScheme(word);
    const auto weights = nlohmann::json::parse(scheme.weights);
    EXPECT_EQ(weights.at("num_bits"), scheme.group.bits) << word;
    EXPECT_EQ(weights.at("type"), scheme.group.is_float ? "float" : "int") << word;
    EXPECT_EQ(weights.at("symmetric"), scheme.group.is_symmetric) << word;
    EXPECT_EQ(weights.at("dynamic"), false) << word;
    const std::string strategy = scheme.group.rows > 1      ? "block"
                                 : scheme.group.columns > 0 ? "group"
                                                            : "channel";
    EXPECT_EQ(weights.at("strategy"), strategy) << word;
    if (strategy == "group") {
      EXPECT_EQ(weights.at("group_size"), scheme.group.columns) << word;
    }
    if (strategy == "block") {
      EXPECT_EQ(weights.at("block_structure"),
                (std::vector<uint64_t>{scheme.group.rows, scheme.group.columns}));
    }
    EXPECT_EQ(scheme.format == "pack-quantized", scheme.group.is_packed) << word;
    EXPECT_EQ(nlohmann::json::parse(scheme.activations).is_null(), scheme.group.is_packed)
        << word << ": formats of bytes are served with quantized activations";
  }
}

TEST(WithQuantization, AddsOneObjectBehindWhatIsThere) {
  const std::vector<std::string> ignored = {"model.layers.0.mlp.gate", "lm_head"};
  const auto made =
      WithQuantization(R"({"z": 1e-06, "quantization_config": {"old": 1}, "a": "\u00e9"})",
                       *FindCtScheme("w8a16"), ignored);
  ASSERT_TRUE(made);
  EXPECT_EQ(*made, R"({
  "z": 1e-06,
  "a": "\u00e9",
  "quantization_config": {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "quantization_status": "compressed",
    "config_groups": {
      "group_0": {
        "targets": [
          "Linear"
        ],
        "format": "pack-quantized",
        "weights": {
          "num_bits": 8,
          "type": "int",
          "symmetric": true,
          "strategy": "group",
          "group_size": 128,
          "dynamic": false
        },
        "input_activations": null
      }
    },
    "ignore": [
      "model.layers.0.mlp.gate",
      "lm_head"
    ],
    "kv_cache_scheme": null
  }
}
)");
}

TEST(WithoutQuantization, LeavesATextAloneThatHasNone) {
  const std::string text = "{ \"a\":1,\n\t\"b\" : 2.0 }";
  EXPECT_EQ(*WithoutQuantization(text), text);
  EXPECT_EQ(*WithoutQuantization(R"({"quantization_config": {}, "a": 1})"), "{\n  \"a\": 1\n}\n");
  for (const std::string bad : {"", "[]", "{\"a\": ", "null"}) {
    EXPECT_EQ(WithoutQuantization(bad).error().code, Code::kBadInput) << bad;
    EXPECT_EQ(WithQuantization(bad, *FindCtScheme("w8a8"), {}).error().code, Code::kBadInput);
  }
}

// --------------------------------------------------------------------- arrays

TEST(HfQuantized, AModuleHasTheArraysOfItsScheme) {
  struct Module {
    std::string word;
    std::string weight;  // of queries [360, 256]
    std::string scale;
    std::string zero_point;
  };
  const std::vector<Module> modules = {
      {"fp8-dynamic", "F8_E4M3 [360, 256]", "BF16 [360, 1]", "none"},
      {"w8a8", "I8 [360, 256]", "BF16 [360, 1]", "none"},
      {"fp8-block", "F8_E4M3 [360, 256]", "BF16 [3, 2]", "none"},
      {"w4a16", "I32 [360, 32]", "BF16 [360, 2]", "none"},
      {"w8a16", "I32 [360, 64]", "BF16 [360, 2]", "none"},
      {"w8a16-channel", "I32 [360, 64]", "BF16 [360, 1]", "none"},
      {"w4a16-asym", "I32 [360, 32]", "BF16 [360, 2]", "I32 [45, 2]"},
  };
  for (const Module& module : modules) {
    const auto made = DescribeLlama(Quantize(module.word));
    ASSERT_TRUE(made) << made.error().Print();
    const std::string query = kLayer + "self_attn.q_proj.";
    const bool is_packed = FindCtScheme(module.word)->group.is_packed;
    EXPECT_EQ(made->ShapeOf(query + "weight"), is_packed ? "none" : module.weight);
    EXPECT_EQ(made->ShapeOf(query + "weight_packed"), is_packed ? module.weight : "none");
    EXPECT_EQ(made->ShapeOf(query + "weight_scale"), module.scale);
    EXPECT_EQ(made->ShapeOf(query + "weight_zero_point"), module.zero_point);
    EXPECT_EQ(made->ShapeOf(query + "weight_shape"), is_packed ? "I64 [2]" : "none");
    EXPECT_EQ(made->ShapeOf("model.embed_tokens.weight"), "BF16 [64, 256]");
    EXPECT_EQ(made->ShapeOf("lm_head.weight"), "BF16 [64, 256]");
    EXPECT_EQ(made->ShapeOf(kLayer + "input_layernorm.weight"), "BF16 [256]");
  }
}

TEST(HfQuantized, LastWordsAndBlocksAreRoundedUp) {
  // Keys have 90 rows: 12 words of zero points, one block. Outputs have 360 inputs, 90 words.
  const auto asym = DescribeLlama(Quantize("w4a16-asym"));
  ASSERT_TRUE(asym);
  EXPECT_EQ(asym->ShapeOf(kLayer + "self_attn.k_proj.weight_zero_point"), "I32 [12, 2]");
  const auto block = DescribeLlama(Quantize("fp8-block"));
  ASSERT_TRUE(block);
  EXPECT_EQ(block->ShapeOf(kLayer + "self_attn.k_proj.weight_scale"), "BF16 [1, 2]");
  EXPECT_EQ(block->ShapeOf(kLayer + "self_attn.o_proj.weight_scale"), "BF16 [2, 3]");
  const auto channel = DescribeLlama(Quantize("w8a16-channel"));
  ASSERT_TRUE(channel);
  EXPECT_EQ(channel->ShapeOf(kLayer + "self_attn.o_proj.weight_packed"), "I32 [256, 90]");
}

TEST(HfQuantized, TheShapeOfAPackedWeightIsThatOfItsValues) {
  const auto made = DescribeLlama(Quantize("w8a16-channel"));
  ASSERT_TRUE(made);
  const std::string& bytes = made->arrays.at(kLayer + "self_attn.o_proj.weight_shape").constant;
  EXPECT_EQ(bytes, std::string("\x00\x01\0\0\0\0\0\0\x68\x01\0\0\0\0\0\0", 16));
}

TEST(HfQuantized, WhatIsMadeBesideCodesKnowsWhose) {
  const auto made = DescribeLlama(Quantize("w4a16-asym"));
  ASSERT_TRUE(made);
  size_t sides = 0;
  for (const ArraySpec& array : made->output.arrays) {
    if (array.encoding != Encoding::kScales && array.encoding != Encoding::kZeroPoints) continue;
    const ArraySpec& maker = made->output.arrays.at(array.scales_of);
    EXPECT_EQ(maker.encoding, Encoding::kQuantGroups);
    EXPECT_EQ(maker.name, array.name.substr(0, array.name.rfind('.')) + ".weight_packed");
    EXPECT_EQ(maker.role, array.role);
    ++sides;
  }
  EXPECT_EQ(sides, 2U * 2U * 6U);
}

TEST(HfQuantized, AFileHasTheWidestTypesFirst) {
  for (const std::string& word : kWords) {
    const auto made = DescribeLlama(Quantize(word));
    ASSERT_TRUE(made);
    ASSERT_EQ(made->output.files.size(), 1U);
    const FileSpec& file = made->output.files.front();
    EXPECT_EQ(file.arrays.size(), made->output.arrays.size());
    for (size_t i = 1; i < file.arrays.size(); ++i) {
      const ArraySpec& before = made->output.arrays[file.arrays[i - 1]];
      const ArraySpec& after = made->output.arrays[file.arrays[i]];
      const uint64_t wide = ElementBytes(before.dtype);
      const uint64_t next = ElementBytes(after.dtype);
      EXPECT_TRUE(wide > next || (wide == next && before.name < after.name))
          << before.name << ", " << after.name;
    }
    EXPECT_EQ(file.header.size() % 8, 0U);
  }
}

TEST(HfQuantized, AModulesArraysStayInOneFile) {
  TargetSettings settings = Quantize("w4a16-asym");
  settings.max_shard_bytes = 40'000;
  const auto made = DescribeLlama(settings);
  ASSERT_TRUE(made);
  EXPECT_GE(made->output.files.size(), 10U);
  std::map<std::string, std::set<std::string>> files;
  for (const FileSpec& file : made->output.files) {
    for (const size_t i : file.arrays) {
      const std::string& name = made->output.arrays[i].name;
      files[name.substr(0, name.rfind('.'))].insert(file.name);
    }
  }
  for (const auto& [module, names] : files) EXPECT_EQ(names.size(), 1U) << module;
}

// --------------------------------------------------------------------- what stays

TEST(HfQuantized, ModulesWithoutWholeGroupsStayAndAreIgnored) {
  for (const std::string& word : kWords) {
    const auto made = DescribeLlama(Quantize(word));
    ASSERT_TRUE(made);
    const GroupForm& group = FindCtScheme(word)->group;
    const bool is_ragged = group.rows == 1 && group.columns > 0;
    const std::vector<std::string> outputs = {"model.layers.0.self_attn.o_proj",
                                              "model.layers.1.self_attn.o_proj", "lm_head"};
    EXPECT_EQ(made->Ignored(), is_ragged ? outputs : std::vector<std::string>{"lm_head"}) << word;
    const bool is_told = std::any_of(
        made->output.warnings.begin(), made->output.warnings.end(),
        [](const std::string& warning) { return warning.starts_with("2 modules stay in bf16"); });
    EXPECT_EQ(is_told, is_ragged) << word;
    if (is_ragged) {
      EXPECT_EQ(made->ShapeOf(kLayer + "self_attn.o_proj.weight"), "BF16 [256, 360]") << word;
    }
  }
}

TEST(HfQuantized, IgnoredModulesKeepTheirWeight) {
  const auto made = DescribeLlama(
      Quantize("w8a8", {"model.layers.1.mlp.down_proj", R"(re:.*\.0\.self_attn\.o)", "lm_head"}));
  ASSERT_TRUE(made);
  EXPECT_EQ(made->ShapeOf("model.layers.1.mlp.down_proj.weight"), "BF16 [256, 384]");
  EXPECT_EQ(made->ShapeOf("model.layers.1.mlp.down_proj.weight_scale"), "none");
  EXPECT_EQ(made->ShapeOf("model.layers.0.mlp.down_proj.weight"), "I8 [256, 384]");
  EXPECT_EQ(made->Ignored(), (std::vector<std::string>{"model.layers.0.self_attn.o_proj",
                                                       "model.layers.1.mlp.down_proj", "lm_head"}));
}

TEST(HfQuantized, AHeadOfTheEmbeddingsIsIgnoredAllTheSame) {
  NamedShapes shapes = HfShapes(kSizes);
  shapes.erase("lm_head.weight");
  SourceConfig config = HfConfig(kSizes);
  config.values["tie_word_embeddings"] = true;
  const auto made = Describe(Quantize("w8a8", {"lm_head"}), shapes, config);
  ASSERT_TRUE(made) << made.error().Print();
  EXPECT_EQ(made->Ignored(), std::vector<std::string>{"lm_head"});
  EXPECT_EQ(made->ShapeOf("lm_head.weight"), "none");
  for (const std::string& warning : made->output.warnings)
    EXPECT_EQ(warning.find("meets no module"), std::string::npos) << warning;
}

TEST(HfQuantized, WhatServersLoadAsOneIsQuantizedAsOne) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"model.layers.1.self_attn.k_proj", {"qkv of layer 1", "1.self_attn.q_proj"}},
      {"re:model.layers.0.mlp.gate", {"gate_up of layer 0", "0.mlp.up_proj"}},
  };
  for (const auto& [entry, words] : cases) {
    const auto made = DescribeLlama(Quantize("fp8-dynamic", {entry}));
    ASSERT_FALSE(made) << entry;
    EXPECT_EQ(made.error().code, Code::kUsage);
    for (const std::string& word : words)
      EXPECT_NE(made.error().what.find(word), std::string::npos) << made.error().Print();
  }
  EXPECT_TRUE(DescribeLlama(Quantize("fp8-dynamic", {R"(re:.*1\.self_attn\.[qkv]_proj)"})));
}

TEST(HfQuantized, BlocksThatOthersFollowAreWarnedOf) {
  const auto made = DescribeLlama(Quantize("fp8-block"));
  ASSERT_TRUE(made);
  // Queries of 360 rows and keys of 90; values are last, gates of 384 rows end at a border.
  const bool is_told = std::any_of(
      made->output.warnings.begin(), made->output.warnings.end(), [](const std::string& warning) {
        return warning.starts_with("4 modules end inside a block of 128 rows") &&
               warning.find("q_proj") != std::string::npos &&
               warning.find("v_proj") == std::string::npos &&
               warning.find("gate_proj") == std::string::npos;
      });
  EXPECT_TRUE(is_told);
  EXPECT_TRUE(std::any_of(
      made->output.warnings.begin(), made->output.warnings.end(), [](const std::string& warning) {
        return warning.starts_with("2 modules have inputs that are no whole blocks of 128") &&
               warning.find("o_proj") != std::string::npos;
      }));
}

TEST(HfQuantized, NothingToQuantizeIsAMistake) {
  for (const std::string entry : {"re:", "re:model"}) {
    const auto made = DescribeLlama(Quantize("w8a8", {entry}));
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::kUsage);
  }
  constexpr LlamaSizes ragged = {1, 250, 2, 1, 90, 300, 64};
  EXPECT_FALSE(DescribeLlama(Quantize("w4a16"), ragged));
  EXPECT_TRUE(DescribeLlama(Quantize("w8a16-channel"), ragged));
}

TEST(HfQuantized, SettingsThatExcludeEachOtherAreRefused) {
  TargetSettings kept = Quantize("w8a8");
  kept.is_dtype_preserved = true;
  TargetSettings plain = Quantize("", {"lm_head"});
  TargetSettings rounded = Quantize("");
  rounded.is_quotient_rounded = true;
  for (const TargetSettings& settings : {kept, plain, rounded}) {
    const auto made = DescribeLlama(settings);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::kUsage);
  }
}

TEST(HfQuantized, TheSourcesOwnQuantizationIsGone) {
  const auto made = DescribeLlama(Quantize("w4a16"));
  ASSERT_TRUE(made);
  EXPECT_EQ(made->Config().at("quantization_config").at("quant_method"), "compressed-tensors");
  EXPECT_EQ(made->Config().at("a"), nlohmann::json::parse(R"([1, {"b": null}])"));
  const auto plain = DescribeLlama(Quantize(""));
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->Config().contains("quantization_config"));
}

// --------------------------------------------------------------------- ignoring

TEST(IgnoreList, NamesAreWholeAndExpressionsBeginAtTheBeginning) {
  auto list = IgnoreList::Parse({"lm_head", R"(re:model\.layers\.1\.)", "re:.*o_proj$"});
  ASSERT_TRUE(list);
  EXPECT_TRUE(list->Has("lm_head"));
  EXPECT_FALSE(list->Has("lm_head2"));
  EXPECT_FALSE(list->Has("a.lm_head"));
  EXPECT_TRUE(list->Has("model.layers.1.mlp"));
  EXPECT_FALSE(list->Has("model.layers.11.mlp"));
  EXPECT_FALSE(list->Has("x.model.layers.1.mlp"));
  EXPECT_TRUE(list->Has("model.layers.0.self_attn.o_proj"));
  EXPECT_FALSE(list->Has("model.layers.0.self_attn.o_projx"));
}

TEST(IgnoreList, SaysWhichEntriesMetNothing) {
  auto list = IgnoreList::Parse({"a", "re:b", "re:a.*", "c"});
  ASSERT_TRUE(list);
  EXPECT_EQ(list->Unused().size(), 4U);
  EXPECT_TRUE(list->Has("a"));
  EXPECT_EQ(list->Unused(), (std::vector<std::string>{"re:b", "c"})) << "both that met it did";
}

TEST(IgnoreList, RefusesWhatIsNoExpression) {
  for (const std::string bad : {"re:[", "re:(", "re:*", "re:a{"}) {
    const auto list = IgnoreList::Parse({"lm_head", bad});
    ASSERT_FALSE(list) << bad;
    EXPECT_EQ(list.error().code, Code::kUsage);
    EXPECT_NE(list.error().what.find(bad), std::string::npos);
  }
}

// ------------------------------------------------------------- tensor parallel

// The number in "--tensor-parallel-size N at most", or 0.
uint64_t MostParallel(const std::string& word, const LlamaSizes& sizes) {
  const auto made = [&] {
    TargetSettings settings = Quantize(word);
    SourceConfig config = HfConfig(sizes);
    config.values["head_dim"] = Signed(sizes.d);
    config.text = "{}";
    const std::vector<SourceConfig> configs = {config};
    const Catalog catalog = MakeCatalog(HfShapes(sizes), configs);
    const Model model = *BindModel(Shipped(), catalog, {});
    return *HfTarget().Describe(model, catalog, {}, settings);
  }();
  for (const std::string& line : made.how_to_load) {
    constexpr std::string_view flag = "--tensor-parallel-size ";
    if (line.starts_with(flag)) return std::stoull(line.substr(flag.size()));
  }
  return 0;
}

TEST(HfTensorParallel, HeadsGroupsBlocksAndWordsStayWhole) {
  const LlamaSizes narrow = {1, 1024, 8, 2, 64, 1024, 64};
  EXPECT_EQ(MostParallel("w8a8", narrow), 8U) << "as many as heads; the two of keys are shared";
  EXPECT_EQ(MostParallel("w8a16", narrow), 4U) << "512 inputs of the output projection, in 128s";
  EXPECT_EQ(MostParallel("fp8-block", narrow), 1U) << "half of the keys is no block";
  const LlamaSizes wide = {1, 1024, 8, 2, 128, 1024, 64};
  EXPECT_EQ(MostParallel("fp8-block", wide), 8U);
  EXPECT_EQ(MostParallel("w4a16-asym", wide), 8U);
  const LlamaSizes nine = {1, 1152, 9, 3, 128, 3456, 64};
  EXPECT_EQ(MostParallel("w4a16", nine), 9U) << "3456 / 9 is three groups";
}

}  // namespace
}  // namespace ckpt
