#include "plan/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <numeric>

#include "plan/memory.h"
#include "plan/tile.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/run/tiny_hf.h"

namespace ckpt {
namespace {

class PlanTest : public testing::Test {
 protected:
  PlanTest() {
    auto store = OpenFileStore(*Uri::Parse(folder_.path()));
    EXPECT_TRUE(store);
    store_ = std::move(*store);
  }
  Plan Make(const TinyPlanOptions& options) {
    auto plan = MakeTinyPlan(store_, options);
    EXPECT_TRUE(plan) << plan.error().Print();
    return *std::move(plan);
  }
  // Its weights are holes.
  void WriteSparse(const TinyLlama& model) {
    const auto header = safetensors::EncodeHeader(model.Tensors(), std::nullopt);
    ASSERT_TRUE(header);
    ASSERT_TRUE(WriteSmallObject(*store_, "config.json", model.Config(), {}));
    ASSERT_TRUE(WriteSmallObject(*store_, "model.safetensors", header->bytes, {}));
    std::filesystem::resize_file(folder_.path() + "/model.safetensors",
                                 header->bytes.size() + header->data_bytes);
  }
  TempFolder folder_;
  std::shared_ptr<Store> store_;
};

TEST_F(PlanTest, SegmentsCoverTheFileOnceInOrder) {
  TinyLlama{}.WriteTo(*store_);
  for (const std::string quantize : {"", "int8_per_channel", "int4_blockwise"}) {
    const Plan plan = Make({quantize, 20000});
    EXPECT_GE(plan.bundles.size(), 10U);
    ASSERT_EQ(plan.commits.size(), 1U);
    uint64_t at = plan.commits[0].segment.end;
    EXPECT_EQ(plan.front.segment.begin, at);
    at = plan.front.segment.end;
    uint32_t number = 1;
    for (const Bundle& bundle : plan.bundles) {
      EXPECT_EQ(bundle.number, number++);
      EXPECT_EQ(bundle.segment.begin, at);
      EXPECT_GT(bundle.segment.size(), 0U);
      at = bundle.segment.end;
    }
    EXPECT_EQ(at, plan.output.files[0].size_bytes);
  }
}

TEST_F(PlanTest, TheFrontIsAtLeastEightMebibytesOfWholeBands) {
  TinyLlama model;
  model.dim = 1024;
  model.vocab = 9000;
  model.WriteTo(*store_);
  const Plan plan = Make({"", 1 << 20, 2, 128ULL << 20, kFrontBytes});
  EXPECT_GE(plan.front.segment.end, kFrontBytes);
  EXPECT_FALSE(plan.bundles.empty());
}

TEST_F(PlanTest, ScalesAndWhatStandsBetweenThemAreTheHead) {
  TinyLlama{}.WriteTo(*store_);
  const Plan plan = Make({"int8_per_channel"});
  size_t scales = 0;
  ASSERT_EQ(plan.commits.size(), 1U);
  for (const size_t array : plan.commits[0].arrays)
    scales += plan.output.arrays[array].encoding == Encoding::kScales ? 1 : 0;
  EXPECT_EQ(scales, 2U + 3 * 7);
  const Plan plain = Make({""});
  EXPECT_EQ(plain.commits.at(0).segment.end, plain.output.files[0].header.size())
      << "nothing but the header without scales";
}

TEST_F(PlanTest, DigestsHoldWhatTheyShouldAndNothingElse) {
  TinyLlama{}.WriteTo(*store_);
  const Plan base = Make({"int8_per_channel"});
  const Plan resources = Make({"int8_per_channel", 64 << 10, 7, 512ULL << 20});
  EXPECT_EQ(base.layout_digest, resources.layout_digest);
  EXPECT_EQ(base.run_digest, resources.run_digest);
  EXPECT_NE(base.layout_digest, Make({"int8_per_channel", 1 << 20}).layout_digest)
      << "bundle borders";
  EXPECT_NE(base.layout_digest, Make({"int4_per_channel"}).layout_digest)
      << "settings that change arrays";
  ASSERT_TRUE(WriteSmallObject(*store_, "model.safetensors", TinyLlama{}.File(),
                               {.is_create_only = false}));
  const Plan touched = Make({"int8_per_channel"});
  EXPECT_EQ(base.layout_digest, touched.layout_digest);
  EXPECT_NE(base.run_digest, touched.run_digest) << "the source's identity";
}

TEST_F(PlanTest, TotalsAreExact) {
  TinyLlama model;
  model.is_tied = true;
  model.WriteTo(*store_);
  const uint64_t embedding = model.vocab * model.dim * 2;
  uint64_t tensors = 0;
  for (const auto& tensor : model.Tensors()) tensors += *TensorBytes(tensor.dtype, tensor.shape);
  const Plan plan = Make({"int8_per_channel"});
  EXPECT_EQ(plan.totals.source_tensor_bytes, tensors);
  EXPECT_EQ(plan.totals.read_again_bytes, 2 * embedding) << "the tied head, and the column maxima";
  EXPECT_EQ(plan.totals.read_bytes, tensors + 2 * embedding + plan.catalog.header_bytes);
  EXPECT_EQ(plan.totals.written_bytes, plan.output.FileBytes());
}

TEST_F(PlanTest, ThePeakStaysWithinTheBudget) {
  TinyLlama{}.WriteTo(*store_);
  for (const unsigned threads : {1U, 2U, 16U, 200U}) {
    const Plan plan = Make({"int8_blockwise", 64 << 10, threads});
    EXPECT_LE(plan.memory.peak_bytes, plan.memory.budget_bytes);
    EXPECT_GE(plan.memory.lanes, 1U);
    EXPECT_LE(plan.memory.lanes, threads);
  }
}

TEST_F(PlanTest, LanesCollectBesideTheLargestArray) {
  TinyLlama model;
  model.dim = 2048;
  model.vocab = 60'000;
  WriteSparse(model);
  for (const std::string type : {"int8_blockwise", "int4_blockwise"}) {
    for (const unsigned threads : {1U, 2U, 3U}) {
      const Plan plan = Make({type, 64 << 20, threads, 256ULL << 20});
      std::vector<uint64_t> holds;
      for (size_t i = 0; i < plan.arrays.size(); ++i) {
        if (plan.output.arrays[i].encoding == Encoding::kQuantBlocks)
          holds.push_back(HoldBytes(plan, i));
      }
      std::sort(holds.begin(), holds.end(), std::greater<>());
      ASSERT_EQ(plan.memory.lanes, threads);
      // Two values of 4 bits share a byte; a scale is two bytes for 128 values.
      const uint64_t elements = model.dim * model.vocab;
      const uint64_t values = type == "int8_blockwise" ? elements : elements / 2;
      EXPECT_GT(holds[0], values + elements / 64);
      EXPECT_LT(holds[0], values + elements / 64 + (16 << 10));
      EXPECT_LT(holds[1], holds[0] / 10);
      EXPECT_EQ(plan.memory.hold_bytes, holds[0]);
      EXPECT_EQ(plan.memory.hold_pool_bytes,
                std::accumulate(holds.begin(), holds.begin() + threads, uint64_t{0}));
      EXPECT_LE(plan.memory.peak_bytes, plan.memory.budget_bytes);
    }
  }
}

TEST_F(PlanTest, ATileTakesAWholeHeadOfAPermutedArray) {
  TinyLlama model;
  model.layers = 1;
  model.heads = 2;
  model.kv_heads = 2;
  model.dim = 1536;  // 768 rows of 3072 bytes are more than an ordinary tile
  WriteSparse(model);
  const Plan plan = Make({""});
  size_t permuted = 0;
  for (const ArrayPlan& array : plan.arrays) {
    if (array.rows.axes.size() < 2) continue;
    ++permuted;
    EXPECT_EQ(RowsPerTile(array, plan.catalog.tensors[array.tensor], plan.memory.tile_in_bytes,
                          plan.memory.tile_out_bytes - 2 * kIoAlignment),
              model.dim / model.heads);
  }
  EXPECT_EQ(permuted, 2U) << "query and key";
}

TEST_F(PlanTest, ABudgetThatIsTooSmallNamesTheLeast) {
  TinyLlama{}.WriteTo(*store_);
  const auto plan = MakeTinyPlan(store_, {"", 64 << 10, 2, 1ULL << 20});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Code::kUsage);
  EXPECT_NE(plan.error().remedy.find("--memory 128MiB"), std::string::npos) << plan.error().remedy;
}

TEST_F(PlanTest, BlockwiseNamesTheTensorThatHasNoWholeBlocks) {
  TinyLlama model;
  model.mlp = 192;
  model.WriteTo(*store_);
  const auto plan = MakeTinyPlan(store_, {"int8_blockwise"});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Code::kUsage);
  ASSERT_EQ(plan.error().details.size(), 3U) << "one w2 a layer";
  EXPECT_NE(plan.error().details[0].find("layers.0.feed_forward.w2.weight"), std::string::npos);
  EXPECT_NE(plan.error().details[0].find("192"), std::string::npos);
}

// --------------------------------------------------------------------- several files

// Every byte of every file is the committer's or one bundle's, every row of every array made once.
void ExpectWhole(const Plan& plan) {
  std::vector<std::pair<ByteRange, size_t>> pieces;  // of the space of all files, with their file
  std::vector<uint64_t> rows(plan.arrays.size());    // made so far
  for (const CommitRange& range : plan.commits) {
    pieces.emplace_back(range.segment, range.file);
    for (const size_t array : range.arrays) rows[array] += plan.arrays[array].rows.n_rows;
  }
  uint32_t number = 1;
  const auto add = [&](const Bundle& bundle) {
    if (!bundle.segment.empty()) pieces.emplace_back(bundle.segment, bundle.file);
    for (const RowSpan& span : bundle.spans) {
      EXPECT_EQ(span.row_begin, rows[span.array]) << "in order, without a gap";
      rows[span.array] = span.row_end;
      const std::vector<size_t>& own = plan.output.files[bundle.file].arrays;
      EXPECT_NE(std::find(own.begin(), own.end(), span.array), own.end()) << "of another file";
      EXPECT_NE(plan.output.arrays[span.array].encoding, Encoding::kScales);
    }
  };
  add(plan.front);
  for (const Bundle& bundle : plan.bundles) {
    EXPECT_EQ(bundle.number, number++);
    EXPECT_GT(bundle.segment.size(), 0U);
    add(bundle);
  }
  for (size_t array = 0; array < rows.size(); ++array)
    EXPECT_EQ(rows[array], plan.arrays[array].rows.n_rows) << plan.output.arrays[array].name;
  std::sort(pieces.begin(), pieces.end(),
            [](const auto& a, const auto& b) { return a.first.begin < b.first.begin; });
  auto piece = pieces.begin();
  uint64_t next = 0;
  for (size_t file = 0; file < plan.output.files.size(); ++file) {
    const FileSpec& spec = plan.output.files[file];
    EXPECT_EQ(spec.base % kIoAlignment, 0U);
    EXPECT_GE(spec.base, next) << "files do not overlap";
    EXPECT_LT(spec.base - next, kIoAlignment) << "nor lie apart";
    uint64_t at = spec.base;
    for (; piece != pieces.end() && at < spec.range().end; ++piece) {
      EXPECT_EQ(piece->first.begin, at) << spec.name;
      EXPECT_EQ(piece->second, file) << spec.name;
      at = piece->first.end;
    }
    EXPECT_EQ(at, spec.range().end) << spec.name << ": a piece crosses its border";
    next = spec.range().end;
  }
  EXPECT_EQ(piece, pieces.end());
}

TEST_F(PlanTest, EveryByteOfSeveralFilesIsMadeOnce) {
  TinyLlama{}.WriteTo(*store_);
  for (const uint64_t limit : {1ULL << 10, 300'000ULL, 700'000ULL, 1ULL << 40}) {
    for (const uint64_t bundle : {1ULL << 10, 20'000ULL, 64ULL << 10, 64ULL << 20}) {
      const auto plan = MakeTinyHfPlan(store_, {.max_shard_bytes = limit, .bundle_bytes = bundle});
      ASSERT_TRUE(plan) << plan.error().Print();
      ExpectWhole(*plan);
      EXPECT_EQ(plan->output.files.size() == 1, limit == 1ULL << 40);
      EXPECT_EQ(plan->commits.size(), plan->output.files.size());
      EXPECT_TRUE(plan->output.files.size() == 1 || plan->front.spans.empty());
      EXPECT_GE(plan->bundles.size(), plan->output.files.size() - 1);
    }
  }
}

TEST_F(PlanTest, AnOnlyFileOfAnyTargetIsMadeOnce) {
  TinyLlama{}.WriteTo(*store_);
  for (const std::string quantize : {"", "int8_per_channel", "int4_blockwise"}) {
    for (const uint64_t bundle : {1ULL << 10, 20'000ULL, 64ULL << 10}) {
      for (const uint64_t front : {0ULL, 10'000ULL, 400'000ULL, 1ULL << 40})
        ExpectWhole(Make({quantize, bundle, 2, 128ULL << 20, front}));
    }
  }
}

TEST_F(PlanTest, ScalesInTheMiddleOfFilesAreCommitRangesOfTheirOwn) {
  TinyLlama{}.WriteTo(*store_);
  const auto plan = MakeScatteredPlan(store_);
  ASSERT_TRUE(plan) << plan.error().Print();
  ExpectWhole(*plan);
  ASSERT_EQ(plan->output.files.size(), 3U);
  EXPECT_GE(plan->commits.size(), 3U + 20) << "a header each, and the scales behind each array";
  size_t scales = 0;
  for (const CommitRange& range : plan->commits) {
    const uint64_t base = plan->output.files[range.file].base;
    for (const size_t array : range.arrays) {
      const bool is_scale = plan->output.arrays[array].encoding == Encoding::kScales;
      scales += is_scale ? 1 : 0;
      EXPECT_TRUE(is_scale || plan->arrays[array].size_bytes <= 1ULL << 20) << "small ones between";
    }
    const bool is_first = range.segment.begin == base;
    const uint64_t header = plan->output.files[range.file].header.size();
    EXPECT_TRUE(!is_first || range.segment.size() >= header);
  }
  EXPECT_EQ(scales, 2U + 3 * 7);
}

TEST_F(PlanTest, NoSegmentButAFilesLastIsSmallerThanAPartOfAnUpload) {
  TinyLlama model;
  model.mlp = 400;
  model.WriteTo(*store_);
  size_t merged = 0;
  for (const uint64_t bundle_bytes : {32ULL << 10, 64ULL << 10, 100ULL << 10}) {
    const auto plan = MakeScatteredPlan(store_, bundle_bytes);
    ASSERT_TRUE(plan) << plan.error().Print();
    ExpectWhole(*plan);
    const uint64_t least = bundle_bytes / 16 * 5;
    for (size_t i = 0; i < plan->bundles.size(); ++i) {
      const Bundle& bundle = plan->bundles[i];
      const bool begins = i == 0 || plan->bundles[i - 1].segment.end != bundle.segment.begin;
      const bool ends =
          i + 1 == plan->bundles.size() || plan->bundles[i + 1].segment.begin != bundle.segment.end;
      const bool is_last = bundle.segment.end == plan->output.files[bundle.file].range().end;
      // One by itself between two ranges of the committer has nobody to be merged with.
      EXPECT_TRUE(is_last || (begins && ends) || bundle.segment.size() >= least) << bundle.number;
      merged += bundle.segment.size() > bundle_bytes ? 1 : 0;
    }
  }
  EXPECT_GE(merged, 5U) << "small last ones went to the bundle before";
}

TEST_F(PlanTest, ALimitThatMovesNoTensorChangesTheRunAndNotTheLayout) {
  TinyLlama{}.WriteTo(*store_);
  const auto digests = [&](uint64_t limit) {
    const auto plan = MakeTinyHfPlan(store_, {.max_shard_bytes = limit});
    EXPECT_TRUE(plan);
    return plan->layout_digest;
  };
  EXPECT_EQ(digests(700'000), digests(700'001));
  EXPECT_NE(digests(700'000), digests(300'000));
}

TEST(DefaultMemory, GrowsWithCoresAndStaysBelowHalfOfTheMachine) {
  EXPECT_EQ(DefaultMemoryBytes(2, 24ULL << 30), 512ULL << 20);
  EXPECT_EQ(DefaultMemoryBytes(14, 64ULL << 30), 2ULL << 30);
  EXPECT_EQ(DefaultMemoryBytes(14, 1ULL << 30), 512ULL << 20);
  EXPECT_EQ(DefaultMemoryBytes(2, 128ULL << 20), 128ULL << 20);
}

}  // namespace
}  // namespace ckpt
