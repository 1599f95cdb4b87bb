#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/float.h"
#include "format/safetensors/header.h"
#include "model/model.h"
#include "plan/plan.h"
#include "source/open.h"
#include "store/file/file_store.h"
#include "target/jetstream_pytorch/target.h"

namespace ckpt {

/// A small Llama in Hugging Face form, with values that follow from tensor and position, written
/// through any store.
struct TinyLlama {
  uint64_t layers = 3;
  uint64_t dim = 256;
  uint64_t heads = 4;
  uint64_t kv_heads = 2;
  uint64_t mlp = 384;
  uint64_t vocab = 500;
  bool is_tied = false;
  /// False: zeros, for tests that only plan.
  bool has_values = true;
  /// May change one value: (tensor, element) -> bits.
  std::function<void(const std::string&, std::span<uint16_t>)> spoil = [](const std::string&,
                                                                          std::span<uint16_t>) {};

  std::vector<safetensors::TensorSpec> Tensors() const {
    const uint64_t head = dim / heads;
    std::vector<safetensors::TensorSpec> tensors = {
        {"model.embed_tokens.weight", DType::kBF16, {vocab, dim}},
        {"model.norm.weight", DType::kBF16, {dim}}};
    if (!is_tied) tensors.push_back({"lm_head.weight", DType::kBF16, {vocab, dim}});
    for (uint64_t l = 0; l < layers; ++l) {
      const std::string layer = "model.layers." + std::to_string(l) + ".";
      const auto add = [&](const std::string& name, Shape shape) {
        tensors.push_back({layer + name + ".weight", DType::kBF16, std::move(shape)});
      };
      add("input_layernorm", {dim});
      add("post_attention_layernorm", {dim});
      add("self_attn.q_proj", {dim, dim});
      add("self_attn.k_proj", {kv_heads * head, dim});
      add("self_attn.v_proj", {kv_heads * head, dim});
      add("self_attn.o_proj", {dim, dim});
      add("mlp.gate_proj", {mlp, dim});
      add("mlp.up_proj", {mlp, dim});
      add("mlp.down_proj", {dim, mlp});
    }
    return tensors;
  }

  std::string Config() const {
    return R"({"architectures": ["LlamaForCausalLM"], "hidden_size": )" + std::to_string(dim) +
           ", \"num_hidden_layers\": " + std::to_string(layers) +
           ", \"num_attention_heads\": " + std::to_string(heads) +
           ", \"num_key_value_heads\": " + std::to_string(kv_heads) +
           ", \"intermediate_size\": " + std::to_string(mlp) +
           ", \"vocab_size\": " + std::to_string(vocab) +
           ", \"tie_word_embeddings\": " + (is_tied ? "true" : "false") + "}";
  }

  std::string File() const {
    auto header = safetensors::EncodeHeader(Tensors(), std::nullopt);
    EXPECT_TRUE(header);
    std::string file = header->bytes;
    uint32_t state = 12345;
    for (const safetensors::Tensor& tensor : header->tensors) {
      if (!has_values) {
        file.append(tensor.data.size(), '\0');
        continue;
      }
      const uint64_t count = tensor.data.size() / 2;
      // Pointers: without calls in a debug build.
      std::vector<uint16_t> values(count);
      uint16_t* const end = values.data() + count;
      for (uint16_t* value = values.data(); value != end; ++value) {
        state = state * 1664525U + 1013904223U;
        // Finite, of many magnitudes and both signs.
        *value = static_cast<uint16_t>((state >> 16 & 0x80ffU) | (0x3a00U + (state >> 8 & 0x400U)));
      }
      spoil(tensor.name, values);
      file.append(reinterpret_cast<const char*>(values.data()), tensor.data.size());
    }
    return file;
  }

  void WriteTo(Store& store) const {
    ASSERT_TRUE(WriteSmallObject(store, "config.json", Config(), {}));
    ASSERT_TRUE(WriteSmallObject(store, "model.safetensors", File(), {}));
  }
};

struct TinyPlanOptions {
  std::string quantize;
  uint64_t bundle_bytes = 64 << 10;
  unsigned threads = 2;
  uint64_t memory_bytes = 128ULL << 20;
  uint64_t front_bytes = 10'000;
};

inline Result<Plan> MakeTinyPlan(const std::shared_ptr<Store>& store,
                                 const TinyPlanOptions& options) {
  MemoryBudget budget(128ULL << 20);
  CKPT_TRY(Catalog catalog, OpenSource({store, ""}, budget));
  CKPT_TRY(const auto families, LoadFamilies({}));
  CKPT_TRY(Model model, BindModel(families, catalog, {}));
  const JetstreamPytorchTarget target;
  const TargetSettings settings{options.quantize, false, ""};
  CKPT_TRY(OutputSpec output, target.Describe(model, catalog, {}, settings));
  PlanOptions plan_options;
  plan_options.bundle_bytes = options.bundle_bytes;
  plan_options.front_bytes = options.front_bytes;
  plan_options.resources = {options.memory_bytes, 128ULL << 20, 1ULL << 30, options.threads};
  return MakePlan(std::move(catalog), std::move(model), target, std::move(output), settings,
                  plan_options);
}

}  // namespace ckpt
