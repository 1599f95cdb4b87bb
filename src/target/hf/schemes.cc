#include "target/hf/schemes.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

// Read in the sources of vLLM 0.33, SGLang 0.5.23 and tpu-inference 0.32.
constexpr std::array<std::string_view, 1> kPackedNotes = {
    "tpu-inference loads no dense layers of this scheme (its PyTorch path raises; its JAX path "
    "takes "
    "w4a16 without biases only): for TPUs choose fp8-dynamic (v7x) or w8a8 (v5e, v6e)"};
constexpr std::array<std::string_view, 2> kAsymNotes = {
    "tpu-inference refuses this scheme: for TPUs choose fp8-dynamic (v7x) or w8a8 (v5e, v6e)",
    "transformers (5.24 with compressed-tensors 0.19) loads packed zero points of dense layers "
    "only dequantized, with CompressedTensorsConfig(dequantize=True): vLLM and SGLang take them as "
    "they are"};
constexpr std::string_view kNoExperts =
    "transformers (5.24 with compressed-tensors 0.19) does not load experts of this scheme, nor "
    "llm-compressor's";
constexpr std::array<std::string_view, 1> kInt8Notes = {
    "tpu-inference loads w8a8 for dense layers in its PyTorch path alone: experts and its JAX path "
    "raise"};
constexpr std::array<std::string_view, 1> kBlockNotes = {
    "tpu-inference's JAX path does not load fp8-block where gate and up are merged; its PyTorch "
    "path "
    "dequantizes and quantizes again at load"};

constexpr std::string_view kTokenInt8 =
    R"({"num_bits":8,"type":"int","symmetric":true,"strategy":"token","dynamic":true})";
constexpr std::string_view kTokenFloat8 =
    R"({"num_bits":8,"type":"float","symmetric":true,"strategy":"token","dynamic":true})";

constexpr GroupForm Ints(int bits, bool is_symmetric, uint64_t columns, bool is_packed) {
  return {false, bits, is_symmetric, false, 1, columns, is_packed};
}
constexpr GroupForm Floats(uint64_t rows, uint64_t columns) {
  return {true, 8, true, false, rows, columns, false};
}

const std::array<CtScheme, 7> kSchemes = {{
    {"fp8-dynamic",
     "FP8_DYNAMIC",
     "float-quantized",
     Floats(1, 0),
     R"({"num_bits":8,"type":"float","symmetric":true,"strategy":"channel","dynamic":false})",
     kTokenFloat8,
     {}},
    {"w8a8", "W8A8", "int-quantized", Ints(8, true, 0, false),
     R"({"num_bits":8,"type":"int","symmetric":true,"strategy":"channel","dynamic":false})",
     kTokenInt8, kInt8Notes, kNoExperts},
    {"fp8-block", "FP8_BLOCK", "float-quantized", Floats(128, 128),
     R"({"num_bits":8,"type":"float","symmetric":true,"strategy":"block","block_structure":[128,128],"dynamic":false})",
     R"({"num_bits":8,"type":"float","symmetric":true,"strategy":"group","group_size":128,"dynamic":true})",
     kBlockNotes, kNoExperts},
    {"w4a16", "W4A16", "pack-quantized", Ints(4, true, 128, true),
     R"({"num_bits":4,"type":"int","symmetric":true,"strategy":"group","group_size":128,"dynamic":false})",
     "null", kPackedNotes},
    {"w8a16", "W8A16", "pack-quantized", Ints(8, true, 128, true),
     R"({"num_bits":8,"type":"int","symmetric":true,"strategy":"group","group_size":128,"dynamic":false})",
     "null", kPackedNotes},
    {"w8a16-channel", "W8A16_CHANNEL", "pack-quantized", Ints(8, true, 0, true),
     R"({"num_bits":8,"type":"int","symmetric":true,"strategy":"channel","dynamic":false})", "null",
     kPackedNotes},
    {"w4a16-asym", "W4A16_ASYM", "pack-quantized", Ints(4, false, 128, true),
     R"({"num_bits":4,"type":"int","symmetric":false,"strategy":"group","group_size":128,"dynamic":false})",
     "null", kAsymNotes},
}};

constexpr const char* kKey = "quantization_config";

Result<Json> ParseConfig(const std::string& config) {
  Json json = Json::parse(config, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return Fail(Code::kBadInput, "config.json is no JSON object", "fetch the file again");
  return json;
}

// As transformers writes it.
std::string Print(const Json& json) { return json.dump(2, ' ', /*ensure_ascii=*/true) + "\n"; }

}  // namespace

std::span<const std::string> CtWords() {
  static const std::vector<std::string> words = [] {
    std::vector<std::string> all;
    all.reserve(2 * kSchemes.size());
    for (const CtScheme& scheme : kSchemes) all.emplace_back(scheme.word);
    for (const CtScheme& scheme : kSchemes) all.emplace_back(scheme.alias);
    return all;
  }();
  return words;
}

const CtScheme* FindCtScheme(std::string_view word) {
  const auto* const found = std::find_if(
      kSchemes.begin(), kSchemes.end(),
      [&](const CtScheme& scheme) { return scheme.word == word || scheme.alias == word; });
  return found == kSchemes.end() ? nullptr : found;
}

Result<std::string> WithQuantization(const std::string& config, const CtScheme& scheme,
                                     std::span<const std::string> ignored) {
  CKPT_TRY(Json json, ParseConfig(config));
  const Json group = {{"targets", {"Linear"}},
                      {"format", scheme.format},
                      {"weights", Json::parse(scheme.weights)},
                      {"input_activations", Json::parse(scheme.activations)}};
  json.erase(kKey);
  // transformers loads random weights without the status; null keys break older loaders.
  json[kKey] = {{"quant_method", "compressed-tensors"},
                {"format", scheme.format},
                {"quantization_status", "compressed"},
                {"config_groups", {{"group_0", group}}},
                {"ignore", ignored},
                {"kv_cache_scheme", nullptr}};
  return Print(json);
}

Result<std::string> WithoutQuantization(const std::string& config) {
  CKPT_TRY(Json json, ParseConfig(config));
  if (json.erase(kKey) == 0) return config;
  return Print(json);
}

}  // namespace ckpt
