#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/family.h"
#include "model/model.h"
#include "source/catalog.h"

namespace ckpt {

using NamedShapes = std::map<std::string, Shape>;

/// A catalog of bf16 tensors without bytes: binding looks at names and shapes only.
inline Catalog MakeCatalog(const NamedShapes& shapes, std::vector<SourceConfig> configs) {
  Catalog catalog;
  catalog.format = "safetensors";
  catalog.root = *Uri::Parse("/models/test");
  catalog.configs = std::move(configs);
  for (const auto& [name, shape] : shapes) {
    TensorEntry entry;
    entry.name = name;
    entry.shape = shape;
    entry.size_bytes = *shape.Elements() * 2;
    catalog.tensors.push_back(std::move(entry));
  }
  return catalog;
}

struct LlamaSizes {
  uint64_t layers, e, h, k, d, f, v;
};
inline constexpr LlamaSizes kLlama3HfGolden = {1,   256, 2, 1,
                                               128, 128, 48};  // tests/golden/.../llama-3-hf
inline constexpr LlamaSizes kLlama2MetaGolden = {2,  128, 4, 4,
                                                 32, 256, 64};  // tests/golden/.../llama-2-meta
inline constexpr LlamaSizes kLlama32Of1B = {2, 2048, 32, 8, 64, 8192, 1024};  // head width 64

/// Names and shapes as transformers writes them. Written out here, not taken from the table under
/// test.
inline NamedShapes HfShapes(const LlamaSizes& s) {
  NamedShapes t = {{"model.embed_tokens.weight", {s.v, s.e}},
                   {"model.norm.weight", {s.e}},
                   {"lm_head.weight", {s.v, s.e}}};
  for (uint64_t l = 0; l < s.layers; ++l) {
    const std::string layer = fmt::format("model.layers.{}.", l);
    t[layer + "input_layernorm.weight"] = {s.e};
    t[layer + "post_attention_layernorm.weight"] = {s.e};
    t[layer + "self_attn.q_proj.weight"] = {s.h * s.d, s.e};
    t[layer + "self_attn.k_proj.weight"] = {s.k * s.d, s.e};
    t[layer + "self_attn.v_proj.weight"] = {s.k * s.d, s.e};
    t[layer + "self_attn.o_proj.weight"] = {s.e, s.h * s.d};
    t[layer + "mlp.gate_proj.weight"] = {s.f, s.e};
    t[layer + "mlp.up_proj.weight"] = {s.f, s.e};
    t[layer + "mlp.down_proj.weight"] = {s.e, s.f};
  }
  return t;
}

/// As Meta writes them, rope.freqs included.
inline NamedShapes MetaShapes(const LlamaSizes& s) {
  NamedShapes t = {{"tok_embeddings.weight", {s.v, s.e}},
                   {"norm.weight", {s.e}},
                   {"output.weight", {s.v, s.e}},
                   {"rope.freqs", {s.d / 2}}};
  for (uint64_t l = 0; l < s.layers; ++l) {
    const std::string layer = fmt::format("layers.{}.", l);
    t[layer + "attention_norm.weight"] = {s.e};
    t[layer + "ffn_norm.weight"] = {s.e};
    t[layer + "attention.wq.weight"] = {s.h * s.d, s.e};
    t[layer + "attention.wk.weight"] = {s.k * s.d, s.e};
    t[layer + "attention.wv.weight"] = {s.k * s.d, s.e};
    t[layer + "attention.wo.weight"] = {s.e, s.h * s.d};
    t[layer + "feed_forward.w1.weight"] = {s.f, s.e};
    t[layer + "feed_forward.w3.weight"] = {s.f, s.e};
    t[layer + "feed_forward.w2.weight"] = {s.e, s.f};
  }
  return t;
}

/// As MaxText's converters write the scanned form, `step` included.
inline NamedShapes MaxtextShapes(const LlamaSizes& s) {
  const std::string root = "params/params/";
  const std::string layers = root + "decoder/layers/";
  return {{"step", {}},
          {root + "token_embedder/embedding", {s.v, s.e}},
          {root + "decoder/decoder_norm/scale", {s.e}},
          {root + "decoder/logits_dense/kernel", {s.e, s.v}},
          {layers + "pre_self_attention_layer_norm/scale", {s.e, s.layers}},
          {layers + "post_self_attention_layer_norm/scale", {s.e, s.layers}},
          {layers + "self_attention/query/kernel", {s.e, s.layers, s.h, s.d}},
          {layers + "self_attention/key/kernel", {s.e, s.layers, s.k, s.d}},
          {layers + "self_attention/value/kernel", {s.e, s.layers, s.k, s.d}},
          {layers + "self_attention/out/kernel", {s.h, s.layers, s.d, s.e}},
          {layers + "mlp/wi_0/kernel", {s.e, s.layers, s.f}},
          {layers + "mlp/wi_1/kernel", {s.e, s.layers, s.f}},
          {layers + "mlp/wo/kernel", {s.f, s.layers, s.e}}};
}
/// The unscanned form: axis 1 of each stacked array becomes a number in the path.
inline NamedShapes MaxtextUnscannedShapes(const LlamaSizes& s) {
  NamedShapes t;
  for (const auto& [name, shape] : MaxtextShapes(s)) {
    const size_t at = name.find("/layers/");
    if (at == std::string::npos) {
      t[name] = shape;
      continue;
    }
    std::vector<uint64_t> extents = shape.extents;
    extents.erase(extents.begin() + 1);
    for (uint64_t l = 0; l < s.layers; ++l) {
      t[fmt::format("{}/layers_{}/{}", name.substr(0, at), l, name.substr(at + 8))] =
          Shape(extents);
    }
  }
  return t;
}

/// As llama.cpp's converter writes a llama 3.1 (rope_freqs.weight), output head tied away.
inline NamedShapes GgufShapes(const LlamaSizes& s) {
  NamedShapes t = {{"token_embd.weight", {s.v, s.e}},
                   {"output_norm.weight", {s.e}},
                   {"rope_freqs.weight", {s.d / 2}}};
  for (uint64_t l = 0; l < s.layers; ++l) {
    const std::string layer = fmt::format("blk.{}.", l);
    t[layer + "attn_norm.weight"] = {s.e};
    t[layer + "ffn_norm.weight"] = {s.e};
    t[layer + "attn_q.weight"] = {s.h * s.d, s.e};
    t[layer + "attn_k.weight"] = {s.k * s.d, s.e};
    t[layer + "attn_v.weight"] = {s.k * s.d, s.e};
    t[layer + "attn_output.weight"] = {s.e, s.h * s.d};
    t[layer + "ffn_gate.weight"] = {s.f, s.e};
    t[layer + "ffn_up.weight"] = {s.f, s.e};
    t[layer + "ffn_down.weight"] = {s.e, s.f};
  }
  return t;
}

inline int64_t Signed(uint64_t x) { return static_cast<int64_t>(x); }

inline SourceConfig HfConfig(const LlamaSizes& s) {
  return {"hf",
          "config.json",
          {{"architectures.0", std::string("LlamaForCausalLM")},
           {"architectures.length", int64_t{1}},
           {"model_type", std::string("llama")},
           {"hidden_size", Signed(s.e)},
           {"intermediate_size", Signed(s.f)},
           {"num_hidden_layers", Signed(s.layers)},
           {"num_attention_heads", Signed(s.h)},
           {"num_key_value_heads", Signed(s.k)},
           {"vocab_size", Signed(s.v)},
           {"rms_norm_eps", 1e-05},
           {"rope_theta", 500000.0},
           {"tie_word_embeddings", false}},
          "{}"};
}
inline SourceConfig MetaConfig(const LlamaSizes& s) {
  return {"meta",
          "params.json",
          {{"dim", Signed(s.e)},
           {"n_layers", Signed(s.layers)},
           {"n_heads", Signed(s.h)},
           {"vocab_size", int64_t{-1}},
           {"norm_eps", 1e-05}},
          "{}"};
}
inline SourceConfig GgufConfig(const LlamaSizes& s) {
  return {"gguf",
          "model.gguf",
          {{"general.architecture", std::string("llama")},
           {"llama.embedding_length", Signed(s.e)},
           {"llama.block_count", Signed(s.layers)},
           {"llama.feed_forward_length", Signed(s.f)},
           {"llama.attention.head_count", Signed(s.h)},
           {"llama.attention.head_count_kv", Signed(s.k)},
           {"llama.rope.dimension_count", Signed(s.d)},
           {"tokenizer.ggml.tokens.length", Signed(s.v)}},
          ""};
}

inline std::vector<std::shared_ptr<const Family>> Shipped() {
  auto families = LoadFamilies({});
  return families.value_or(std::vector<std::shared_ptr<const Family>>());
}
inline Result<Model> Bind(const NamedShapes& shapes, std::vector<SourceConfig> configs,
                          const BindOptions& options = {}) {
  return BindModel(Shipped(), MakeCatalog(shapes, std::move(configs)), options);
}
/// A table written in a test; nullptr, with a failure, where it has a fault.
inline std::shared_ptr<const Family> ParseTable(const std::string& toml) {
  const auto family = Family::Parse(toml, "test.toml");
  EXPECT_TRUE(family) << family.error().Print();
  return family.value_or(nullptr);
}

inline Result<Model> BindTo(const std::shared_ptr<const Family>& family, const NamedShapes& shapes,
                            std::vector<SourceConfig> configs, const BindOptions& options = {}) {
  const std::vector<std::shared_ptr<const Family>> families = {family};
  return BindModel(families, MakeCatalog(shapes, std::move(configs)), options);
}

inline SourceConfig Config(std::map<std::string, ConfigValue> values) {
  return {"hf", "config.json", std::move(values), "{}"};
}

inline const BoundRole* FindRole(const Model& model, std::string_view role) {
  const auto found = std::find_if(model.roles.begin(), model.roles.end(),
                                  [&](const BoundRole& r) { return r.instance.role == role; });
  return found == model.roles.end() ? nullptr : &*found;
}
/// The role's cell in a scheme; one without a name where there is none, or it fails.
inline CellInstance CellOf(const Model& model, const BoundRole& role, std::string_view scheme) {
  const auto cell = CellIn(model, role.instance, scheme);
  if (!cell) return {};
  return cell->value_or(CellInstance{});
}

/// `what` and details of an error, line by line.
inline std::string Text(const Error& error) { return error.Print(); }

}  // namespace ckpt
