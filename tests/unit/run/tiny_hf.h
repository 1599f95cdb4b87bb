#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plan/plan.h"
#include "target/hf/target.h"
#include "tests/unit/run/tiny_llama.h"

namespace ckpt {

/// Settings of small plans for the hf target.
struct TinyHf {
  uint64_t max_shard_bytes = 700'000;
  uint64_t bundle_bytes = 64 << 10;
  unsigned threads = 2;
  bool is_dtype_preserved = false;
};

inline Result<Plan> MakeTinyHfPlan(const std::shared_ptr<Store>& store, const TinyHf& options) {
  MemoryBudget budget(128ULL << 20);
  CKPT_TRY(Catalog catalog, OpenSource({store, ""}, budget));
  CKPT_TRY(const auto families, LoadFamilies({}));
  CKPT_TRY(Model model, BindModel(families, catalog, {}));
  const HfTarget target;
  const TargetSettings settings{"", options.is_dtype_preserved, "", options.max_shard_bytes};
  CKPT_TRY(OutputSpec output, target.Describe(model, catalog, {}, settings));
  PlanOptions plan_options;
  plan_options.bundle_bytes = options.bundle_bytes;
  plan_options.resources = {128ULL << 20, 128ULL << 20, 1ULL << 30, options.threads};
  return MakePlan(std::move(catalog), std::move(model), target, std::move(output), settings,
                  plan_options);
}

/// A quantized output in three files, each with the scales of an array right behind it: no target
/// lays one out so, but a plan may.
inline Result<Plan> MakeScatteredPlan(const std::shared_ptr<Store>& store,
                                      uint64_t bundle_bytes = 64 << 10) {
  MemoryBudget budget(128ULL << 20);
  CKPT_TRY(Catalog catalog, OpenSource({store, ""}, budget));
  CKPT_TRY(const auto families, LoadFamilies({}));
  CKPT_TRY(Model model, BindModel(families, catalog, {}));
  const JetstreamPytorchTarget target;
  const TargetSettings settings{"int8_per_channel", false, ""};
  CKPT_TRY(OutputSpec output, target.Describe(model, catalog, {}, settings));
  output.files.clear();
  size_t made = 0;  // arrays but for scales
  for (size_t i = 0; i < output.arrays.size(); ++i) {
    if (output.arrays[i].encoding == Encoding::kScales) continue;
    if (made++ % 12 == 0) {
      output.files.emplace_back();
      output.files.back().name = "part-" + std::to_string(output.files.size());
      output.files.back().header = std::string(24 * output.files.size(), 'h');
      output.files.back().size_bytes = output.files.back().header.size();
    }
    FileSpec& file = output.files.back();
    const auto append = [&](size_t array) {
      file.arrays.push_back(array);
      file.offsets.push_back(file.size_bytes);
      file.size_bytes +=
          TensorBytes(output.arrays[array].dtype, output.arrays[array].shape).value_or(0);
    };
    append(i);
    for (size_t scales = 0; scales < output.arrays.size(); ++scales) {
      const ArraySpec& other = output.arrays[scales];
      if (other.encoding == Encoding::kScales && other.scales_of == i) append(scales);
    }
  }
  PlanOptions options;
  options.bundle_bytes = bundle_bytes;
  options.resources = {128ULL << 20, 128ULL << 20, 1ULL << 30, 2};
  return MakePlan(std::move(catalog), std::move(model), target, std::move(output), settings,
                  options);
}

}  // namespace ckpt
