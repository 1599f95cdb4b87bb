#include "plan/chunked_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>

#include "plan/chunk_box.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/run/tiny_maxtext.h"

namespace ckpt {
namespace {

// Large enough that a slice has several bands and chunks.
TinyLlama Wide() {
  TinyLlama model;
  model.layers = 2;
  model.dim = 1536;
  model.heads = 12;
  model.kv_heads = 4;
  model.mlp = 4608;
  model.vocab = 7000;
  model.has_values = false;
  return model;
}

class ChunkedPlanTest : public testing::Test {
 protected:
  std::shared_ptr<Store> Source(const TinyLlama& model) {
    auto uri = Uri::Parse(folder_.path() + "/source" + std::to_string(count_++));
    std::shared_ptr<Store> shared(*OpenFileStore(*uri, {}));
    model.WriteTo(*shared);
    return shared;
  }
  // Written once: it is large.
  static std::shared_ptr<Store> WideSource() { return wide; }
  static void SetUpTestSuite() {
    wide_folder.emplace();
    wide = *OpenFileStore(*Uri::Parse(wide_folder->path() + "/wide"), {});
    Wide().WriteTo(*wide);
  }
  static void TearDownTestSuite() {
    wide.reset();
    wide_folder.reset();
  }

  TempFolder folder_;
  int count_ = 0;
  static inline std::optional<TempFolder> wide_folder;
  static inline std::shared_ptr<Store> wide;
};

// The numbers of the chunks of an array: {output, array}.
using MadeChunks = std::map<std::pair<size_t, size_t>, std::set<uint64_t>>;

// Adds the chunks that a band makes, none of which may have been made before.
void AddBand(const ChunkedPlan& plan, const RoleWork& work, uint64_t band, MadeChunks& made) {
  for (const Product& product : work.products) {
    for (const SliceRef& ref : product.slices) {
      const size_t array = plan.outputs[ref.output].slices[ref.slice].array;
      const auto chunks = BandChunks(plan, work, ref, band);
      EXPECT_EQ(chunks.size(), product.chunks);
      std::set<uint64_t>& numbers = made[std::pair(ref.output, array)];
      for (const BandChunk& chunk : chunks) EXPECT_TRUE(numbers.insert(chunk.number).second);
    }
  }
}

TEST_F(ChunkedPlanTest, MakesEveryChunkOfEveryArrayOnce) {
  for (const auto& source : {Source(TinyLlama()), WideSource()}) {
    const auto plan = MakeTinyMaxTextPlan(source, {});
    ASSERT_TRUE(plan) << plan.error().what;
    MadeChunks made;
    for (const ChunkedBundle& bundle : plan->bundles) {
      for (const BandSpan& span : bundle.spans) {
        const RoleWork& work = plan->works[span.work];
        for (uint64_t band = span.band_begin; band < span.band_end; ++band)
          AddBand(*plan, work, band, made);
      }
    }
    for (size_t o = 0; o < plan->outputs.size(); ++o) {
      for (const FrontChunk& chunk : plan->front[o]) made[std::pair(o, chunk.array)].insert(0);
      for (size_t a = 0; a < plan->outputs[o].arrays.size(); ++a) {
        EXPECT_EQ(made[std::pair(o, a)].size(), ChunkCount(plan->outputs[o].arrays[a]))
            << plan->outputs[o].arrays[a].name;
      }
    }
  }
}

TEST_F(ChunkedPlanTest, CoversEveryElementOfARoleOnce) {
  const auto plan = MakeTinyMaxTextPlan(WideSource(), {});
  ASSERT_TRUE(plan);
  for (const RoleWork& work : plan->works) {
    const SliceRef& ref = work.products.front().slices.front();
    uint64_t covered = 0;
    for (uint64_t band = 0; band < work.bands * work.experts; ++band) {
      for (const BandChunk& chunk : BandChunks(*plan, work, ref, band)) {
        uint64_t elements = 1;
        for (size_t k = 0; k < work.axes.size(); ++k)
          elements *= chunk.box.end[k] - chunk.box.begin[k];
        covered += elements;
      }
    }
    uint64_t all = 1;
    for (const Axis& axis : work.axes) all *= axis.extent;
    EXPECT_EQ(covered, all) << plan->model.roles[work.role].instance.role;
  }
}

TEST_F(ChunkedPlanTest, LayoutDoesNotDependOnResources) {
  const auto source = WideSource();
  TinyMaxText options;
  const auto first = MakeTinyMaxTextPlan(source, options);
  options.threads = 7;
  options.memory_bytes = 1ULL << 30;
  const auto second = MakeTinyMaxTextPlan(source, options);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->layout_digest, second->layout_digest);
  EXPECT_EQ(first->run_digest, second->run_digest);
  EXPECT_GE(first->bundles.size(), 20U);
  options.bundle_bytes = 4ULL << 20;
  const auto third = MakeTinyMaxTextPlan(source, options);
  ASSERT_TRUE(third);
  EXPECT_NE(first->layout_digest, third->layout_digest);
}

TEST_F(ChunkedPlanTest, RotaryLayoutIsInTheRunDigestOnly) {
  const auto source = Source(TinyLlama());
  TinyMaxText options;
  options.settings.rope_layout = "half";
  const auto half = MakeTinyMaxTextPlan(source, options);
  options.settings.rope_layout = "interleaved";
  const auto interleaved = MakeTinyMaxTextPlan(source, options);
  ASSERT_TRUE(half && interleaved);
  EXPECT_EQ(half->layout_digest, interleaved->layout_digest);
  EXPECT_NE(half->run_digest, interleaved->run_digest);
}

TEST_F(ChunkedPlanTest, BundlesKeepToTheirSize) {
  TinyMaxText options;
  options.bundle_bytes = 8ULL << 20;
  const auto plan = MakeTinyMaxTextPlan(WideSource(), options);
  ASSERT_TRUE(plan);
  for (const ChunkedBundle& bundle : plan->bundles) {
    uint64_t bands = 0;
    for (const BandSpan& span : bundle.spans) bands += span.band_end - span.band_begin;
    for (const uint64_t bytes : bundle.file_bytes) {
      EXPECT_EQ(bytes % kChunkAlignment, 0U);
      EXPECT_TRUE(bands == 1 || bytes <= options.bundle_bytes);
    }
  }
}

TEST_F(ChunkedPlanTest, ReadsOnceForAllOutputs) {
  const auto plan = MakeTinyMaxTextPlan(WideSource(), {});
  ASSERT_TRUE(plan);
  uint64_t tensors = 0;
  for (const TensorEntry& tensor : plan->catalog.tensors) tensors += tensor.size_bytes;
  EXPECT_EQ(plan->totals.source_tensor_bytes, tensors);
  EXPECT_EQ(plan->totals.read_bytes, tensors + plan->totals.header_bytes);
  EXPECT_EQ(plan->totals.read_again_bytes, 0U);
}

TEST_F(ChunkedPlanTest, CountsATiedOutputHeadAsReadTwice) {
  TinyLlama model;
  model.is_tied = true;
  const auto plan = MakeTinyMaxTextPlan(Source(model), {});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->totals.read_again_bytes, model.vocab * model.dim * 2);
  ASSERT_EQ(plan->rereads.size(), 1U);
}

TEST_F(ChunkedPlanTest, StaysWithinTheBudgetOrNamesTheLeast) {
  const auto source = WideSource();
  TinyMaxText options;
  for (const uint64_t mib : {128U, 256U, 512U}) {
    options.memory_bytes = mib << 20;
    options.threads = 16;
    const auto plan = MakeTinyMaxTextPlan(source, options);
    ASSERT_TRUE(plan) << plan.error().what;
    EXPECT_LE(plan->memory.peak_bytes, options.memory_bytes);
    EXPECT_GE(plan->memory.lanes, 1U);
  }
  options.memory_bytes = 1ULL << 20;
  const auto plan = MakeTinyMaxTextPlan(source, options);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Code::kUsage);
  EXPECT_NE(plan.error().remedy.find("--memory"), std::string::npos);
}

TEST_F(ChunkedPlanTest, AMeshCutsItsAxes) {
  TinyMaxText options;
  options.settings.outputs = {"unscanned"};
  options.settings.mesh = {{"e", 2}};
  const auto plan = MakeTinyMaxTextPlan(WideSource(), options);
  ASSERT_TRUE(plan);
  for (const ChunkedArray& array : plan->outputs[0].arrays) {
    EXPECT_TRUE(!array.name.ends_with("mlp/wi_0/kernel") || array.chunk[0] <= 1536U / 2);
  }
}

}  // namespace
}  // namespace ckpt
