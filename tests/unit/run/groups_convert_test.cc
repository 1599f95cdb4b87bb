// Quantizing in groups of rows and columns: whatever the tiles and bundles, a matrix has the codes,
// scales and zero points that the kernel makes of it in one piece.
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "kernel/compressed.h"
#include "plan/bundles.h"
#include "run/convert.h"
#include "target/hf/target.h"
#include "tests/read_safetensors.h"
#include "tests/sanitized.h"
#include "tests/store/faulty_store.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/run/tiny_llama.h"

namespace ckpt {
namespace {

// Keys and values of 96 rows are less than a block; gates of 300 end inside a block and inside a
// word of zero points.
const TinyLlama kModel{.layers = 1, .dim = 384, .kv_heads = 1, .mlp = 300, .vocab = 20};
const std::vector<std::string> kSchemes = {"fp8-dynamic", "w8a8",          "fp8-block", "w4a16",
                                           "w8a16",       "w8a16-channel", "w4a16-asym"};

// Whose rows wait for one another: in blocks, and in words of zero points.
const std::vector<std::string> kTogether = {"fp8-block", "w4a16-asym"};

struct Choices {
  std::string quantize;
  unsigned threads = 1;
  uint64_t rows_per_tile = 0;  ///< of the model's width; 0: as planned
  uint64_t bundle_bytes = 64 << 20;
  bool is_cut_everywhere = false;  ///< bundles end wherever rows need not be made together
};

Result<Plan> MakeHfPlan(const std::shared_ptr<Store>& store, const Choices& choices) {
  MemoryBudget budget(128ULL << 20);
  CKPT_TRY(Catalog catalog, OpenSource({store, ""}, budget));
  CKPT_TRY(const auto families, LoadFamilies({}));
  CKPT_TRY(Model model, BindModel(families, catalog, {}));
  const TargetSettings settings{choices.quantize, false, ""};
  CKPT_TRY(OutputSpec output, HfTarget().Describe(model, catalog, {}, settings));
  PlanOptions options;
  options.bundle_bytes = choices.bundle_bytes;
  options.resources = {128ULL << 20, 128ULL << 20, 1ULL << 30, choices.threads};
  CKPT_TRY(Plan plan, MakePlan(std::move(catalog), std::move(model), HfTarget(), std::move(output),
                               settings, options));
  if (choices.rows_per_tile > 0)
    plan.memory.read_bytes = 2 * kIoAlignment + choices.rows_per_tile * kModel.dim * 2 + 1;
  if (choices.is_cut_everywhere) {
    for (size_t i = 0; i < plan.arrays.size(); ++i) {
      if (plan.output.arrays[i].encoding != Encoding::kQuantGroups) continue;
      RowMap& rows = plan.arrays[i].rows;
      rows.rows_per_band = std::min(rows.n_rows, plan.output.arrays[i].group.RowStep());
    }
    plan.commits.clear();
    plan.bundles.clear();
    CutBundles(plan, 0);
  }
  return plan;
}

class GroupsConvertTest : public testing::Test {
 protected:
  void SetUp() override {
    source_ = Open("source");
    kModel.WriteTo(*source_);
  }
  std::unique_ptr<Store> Open(const std::string& name) const {
    return std::move(*OpenFileStore(*Uri::Parse(folder_.path() + "/" + name)));
  }
  std::string Out(const std::string& name) const { return folder_.path() + "/" + name; }

  std::string Convert(const std::string& name, const Choices& choices) {
    const auto plan = MakeHfPlan(source_, choices);
    EXPECT_TRUE(plan) << plan.error().Print();
    bundles_ = plan->bundles.size();
    MemoryBudget budget(plan->memory.budget_bytes);
    Watch watch;
    const auto done = ckpt::Convert(*plan, HfTarget(), *source_, *Open(name), budget, {}, watch);
    EXPECT_TRUE(done) << done.error().Print();
    EXPECT_EQ(budget.used_bytes(), 0U);
    return ReadFile(Out(name) + "/model.safetensors");
  }

  TempFolder folder_;
  std::shared_ptr<Store> source_;
  size_t bundles_ = 0;
};

// What a weight's modules hold when the kernel gets all of it at once.
struct Expected {
  std::vector<uint8_t> codes;
  std::vector<BF16> scales;
  std::vector<uint8_t> zero_points;
};

Expected Quantize(const Safetensors& source, const std::string& name, const GroupForm& group) {
  const auto rows = source.Shape(name)[0];
  const auto columns = source.Shape(name)[1];
  const auto* w = reinterpret_cast<const BF16*>(source.Bytes(name).data());
  const CodeForm form{group.is_float, group.bits, group.is_symmetric, group.is_quotient_rounded};
  const uint64_t groups = group.GroupsOf(columns);
  Expected made;
  made.codes.resize(rows * columns);
  std::vector<int8_t> zeros;
  for (size_t row = 0; row < rows; row += group.rows) {
    std::vector<const BF16*> stripe;
    for (size_t r = row; r < std::min<size_t>(rows, row + group.rows); ++r)
      stripe.push_back(w + r * columns);
    made.scales.resize(made.scales.size() + groups);
    zeros.resize(zeros.size() + groups);
    EXPECT_EQ(
        QuantizeGroupsBF16(stripe.data(), stripe.size(), columns,
                           group.columns == 0 ? columns : group.columns, form,
                           &made.scales[made.scales.size() - groups], &zeros[zeros.size() - groups],
                           &made.codes[row * columns], columns),
        groups);
  }
  if (!group.is_packed) return made;
  const std::vector<uint8_t> codes = std::exchange(made.codes, {});
  const size_t row_bytes = PackedBytes(columns, group.bits);
  made.codes.resize(rows * row_bytes);
  for (size_t row = 0; row < rows; ++row)
    PackCodes(&codes[row * columns], columns, group.bits, &made.codes[row * row_bytes]);
  if (group.is_symmetric) return made;
  const size_t per_word = 32 / static_cast<size_t>(group.bits);
  made.zero_points.resize((rows + per_word - 1) / per_word * groups * 4);
  PackZeroPoints(zeros.data(), rows, groups, group.bits, made.zero_points.data());
  return made;
}

// Every quantized array of a plan, beside the kernel's; returns how many there are.
size_t CompareWithKernel(const Plan& plan, const Safetensors& source, const Safetensors& made) {
  size_t compared = 0;
  for (const ArraySpec& array : plan.output.arrays) {
    if (array.encoding != Encoding::kQuantGroups) continue;
    const std::string module = array.name.substr(0, array.name.rfind('.'));
    const Expected expected = Quantize(source, module + ".weight", array.group);
    EXPECT_TRUE(SameBytes(expected.codes, made.Bytes(array.name))) << array.name;
    EXPECT_TRUE(SameBytes(expected.scales, made.Bytes(module + ".weight_scale"))) << module;
    if (!array.group.is_symmetric) {
      EXPECT_TRUE(SameBytes(expected.zero_points, made.Bytes(module + ".weight_zero_point")))
          << module;
    }
    if (array.group.is_packed) {
      const std::vector<size_t> shape = source.Shape(module + ".weight");
      EXPECT_TRUE(SameBytes(std::vector<uint64_t>(shape.begin(), shape.end()),
                            made.Bytes(module + ".weight_shape")));
    }
    ++compared;
  }
  return compared;
}

TEST_F(GroupsConvertTest, AMatrixHasTheCodesThatTheKernelMakesOfItInOnePiece) {
  const Safetensors source(Out("source") + "/model.safetensors");
  for (const std::string& scheme : kSchemes) {
    Convert(scheme, {scheme});
    const auto plan = MakeHfPlan(source_, {scheme});
    ASSERT_TRUE(plan);
    const Safetensors made(Out(scheme) + "/model.safetensors");
    // Rows of 300 are no whole groups of 128.
    const bool is_grouped = scheme == "w4a16" || scheme == "w8a16" || scheme == "w4a16-asym";
    EXPECT_EQ(CompareWithKernel(*plan, source, made), is_grouped ? 6U : 7U) << scheme;
  }
}

TEST_F(GroupsConvertTest, TilesThatEndInsideAGroupOrAWordChangeNothing) {
  for (const std::string& scheme : kSchemes) {
    const std::string whole = Convert("whole" + scheme, {scheme});
    for (const uint64_t rows : {1U, 5U, 129U}) {
      if (kCaseStep > 1 && rows != 5) continue;
      const std::string name = scheme + std::to_string(rows);
      EXPECT_EQ(Convert(name, {.quantize = scheme, .rows_per_tile = rows}), whole) << name;
    }
  }
}

TEST_F(GroupsConvertTest, BundlesMayEndWhereverRowsNeedNotBeMadeTogether) {
  for (const std::string& scheme : kTogether) {
    const std::string whole = Convert("whole" + scheme, {scheme});
    const size_t few = bundles_;
    for (const unsigned threads : {1U, 5U}) {
      const std::string name = scheme + std::to_string(threads);
      EXPECT_EQ(Convert(name, {scheme, threads, threads == 1 ? 3U : 0U, 8 << 10, true}), whole);
    }
    EXPECT_GE(bundles_, few + 8) << scheme;
  }
}

TEST_F(GroupsConvertTest, BandsAreWholeGroupsAndWholeWords) {
  for (const std::string& scheme : kSchemes) {
    const auto plan = MakeHfPlan(source_, {scheme});
    ASSERT_TRUE(plan);
    for (size_t i = 0; i < plan->arrays.size(); ++i) {
      const ArraySpec& array = plan->output.arrays[i];
      if (array.encoding != Encoding::kQuantGroups) continue;
      const RowMap& rows = plan->arrays[i].rows;
      EXPECT_TRUE(rows.rows_per_band % array.group.RowStep() == 0 ||
                  rows.rows_per_band == rows.n_rows)
          << array.name;
      EXPECT_EQ(plan->arrays[i].row_bytes * rows.n_rows, plan->arrays[i].size_bytes) << array.name;
    }
  }
}

TEST_F(GroupsConvertTest, ARerunTakesScalesAndZeroPointsFromWhatIsRecorded) {
  size_t failed = 0;
  size_t kept = 0;
  for (const std::string& scheme : kTogether) {
    const Choices choices{scheme, 1, 5, 8 << 10, true};
    const std::string whole = Convert("whole" + scheme, choices);
    for (uint64_t seed = 1; seed <= 8; seed += kCaseStep) {
      const std::string name = scheme + std::to_string(seed);
      const auto plan = MakeHfPlan(source_, choices);
      ASSERT_TRUE(plan);
      FaultyStore faulty(Open(name),
                         RandomFaults(seed, 1, {FaultPoint::kWrite, FaultPoint::kSync}, 60));
      MemoryBudget budget(plan->memory.budget_bytes);
      Watch watch;
      const ConvertOptions options{false, 1, "auto", "0", {}, true};
      if (ckpt::Convert(*plan, HfTarget(), *source_, faulty, budget, options, watch)) continue;
      ++failed;
      EXPECT_FALSE(std::filesystem::exists(Out(name) + "/config.json"));
      Watch next;
      const auto again =
          ckpt::Convert(*plan, HfTarget(), *source_, *Open(name), budget, options, next);
      ASSERT_TRUE(again) << again.error().Print();
      kept += again->shard.kept;
      EXPECT_EQ(ReadFile(Out(name) + "/model.safetensors"), whole) << name;
    }
  }
  EXPECT_GE(failed, 5U / kCaseStep);
  EXPECT_GE(kept, 10U / kCaseStep);
}

TEST_F(GroupsConvertTest, ShardsShareAMatrix) {
  for (const std::string& scheme : kTogether) {
    const Choices choices{scheme, 1, 3, 8 << 10, true};
    const std::string whole = Convert("whole" + scheme, choices);
    for (unsigned i = 0; i < 5; ++i) {
      const auto plan = MakeHfPlan(source_, choices);
      ASSERT_TRUE(plan);
      MemoryBudget budget(plan->memory.budget_bytes);
      Watch watch;
      const ConvertOptions part{false, 1, "auto", "0", {(i * 3 + 2) % 5, 5}};
      const auto done =
          ckpt::Convert(*plan, HfTarget(), *source_, *Open("of5" + scheme), budget, part, watch);
      ASSERT_TRUE(done) << done.error().Print();
    }
    EXPECT_EQ(ReadFile(Out("of5" + scheme) + "/model.safetensors"), whole);
  }
}

}  // namespace
}  // namespace ckpt
