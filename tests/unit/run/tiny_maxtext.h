#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plan/chunked_plan.h"
#include "target/maxtext/target.h"
#include "tests/unit/run/tiny_llama.h"

namespace ckpt {

/// Settings of small plans for the maxtext target.
struct TinyMaxText {
  ChunkedSettings settings;
  uint64_t bundle_bytes = 1ULL << 20;
  unsigned threads = 2;
  uint64_t memory_bytes = 256ULL << 20;
  bool keeps_sides = false;

  TinyMaxText() { settings.outputs = {"scanned", "unscanned", "int8"}; }
};

inline Result<ChunkedPlan> MakeTinyMaxTextPlan(const std::shared_ptr<Store>& store,
                                               const TinyMaxText& options) {
  MemoryBudget budget(128ULL << 20);
  CKPT_TRY(Catalog catalog, OpenSource({store, ""}, budget));
  CKPT_TRY(const auto families, LoadFamilies({}));
  CKPT_TRY(Model model, BindModel(families, catalog,
                                  {"", options.settings.model_name, options.settings.rope_layout}));
  const MaxTextTarget target;
  std::vector<std::string> warnings;
  CKPT_TRY(std::vector<ChunkedOutput> outputs, target.Describe(model, options.settings, warnings));
  return MakeChunkedPlan(std::move(catalog), std::move(model), target, std::move(outputs),
                         options.settings,
                         {{options.memory_bytes, 128ULL << 20, 1ULL << 30, options.threads},
                          options.bundle_bytes,
                          options.keeps_sides});
}

}  // namespace ckpt
