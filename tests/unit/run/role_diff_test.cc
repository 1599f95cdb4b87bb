#include "run/role_diff.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/family.h"
#include "run/chunked_convert.h"
#include "run/convert.h"
#include "run/role_reader.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/run/tiny_maxtext.h"

namespace ckpt {
namespace {

constexpr uint64_t kDiffMemory = 128ULL << 20;

// A checkpoint of a folder, as the verb opens it.
struct Opened {
  std::shared_ptr<Store> store;
  Catalog catalog;
  Model model;
  DiffSide side() const { return {store.get(), &catalog, &model}; }
};

class RoleDiffTest : public testing::Test {
 protected:
  std::shared_ptr<Store> Folder(const std::string& name) {
    return std::shared_ptr<Store>(
        *OpenFileStore(*Uri::Parse(folder_.path() + "/" + name), {.io_threads = 2}));
  }
  Opened Open(const std::string& name, const std::vector<SourceConfig>& configs = {}) {
    Opened opened;
    opened.store = Folder(name);
    MemoryBudget budget(kDiffMemory);
    auto catalog = OpenSource({opened.store, ""}, budget);
    EXPECT_TRUE(catalog) << catalog.error().Print();
    if (!catalog) return opened;
    opened.catalog = *std::move(catalog);
    if (!configs.empty()) opened.catalog.configs = configs;
    auto model = BindModel(*LoadFamilies({}), opened.catalog, {});
    EXPECT_TRUE(model) << model.error().Print();
    if (model) opened.model = *std::move(model);
    return opened;
  }
  Opened Make(const std::string& name, const TinyLlama& llama = {}) {
    llama.WriteTo(*Folder(name));
    return Open(name);
  }
  // Scanned and unscanned MaxText of the folder "a".
  void MakeMaxText() {
    TinyMaxText options;
    options.settings.outputs = {"scanned", "unscanned"};
    auto plan = MakeTinyMaxTextPlan(Folder("a"), options);
    ASSERT_TRUE(plan) << plan.error().Print();
    MemoryBudget budget(plan->memory.budget_bytes);
    Watch watch;
    const auto destination = Folder("maxtext");
    const auto done =
        ConvertChunked(*plan, MaxTextTarget(), *Folder("a"), *destination, budget, {}, watch);
    ASSERT_TRUE(done) << done.error().Print();
  }

  static Result<DiffPlan> Plan(const Opened& a, const Opened& b, unsigned threads = 2,
                               uint64_t box_bytes = kMostBoxBytes) {
    return PlanDiff(a.side(), b.side(), {kDiffMemory, kDiffMemory, kDiffMemory, threads},
                    box_bytes);
  }
  static DiffResult Run(const DiffPlan& plan) {
    Progress progress;
    Watch watch;
    auto result = RunDiff(plan, progress, watch);
    EXPECT_TRUE(result) << result.error().Print();
    EXPECT_EQ(progress.read_bytes, plan.totals.read_bytes);
    if (!result) return {};
    EXPECT_LE(result->granted_peak_bytes, plan.memory.budget_bytes);
    return *std::move(result);
  }

  // Of all pairs, those that differ, by role.
  static std::map<std::string, RoleOutcome> Differences(const DiffPlan& plan,
                                                        const DiffResult& result) {
    std::map<std::string, RoleOutcome> found;
    for (size_t i = 0; i < plan.pairs.size(); ++i) {
      if (IsDifferent(plan.pairs[i], result.outcomes[i]))
        found[plan.pairs[i].role] = result.outcomes[i];
    }
    return found;
  }

  TempFolder folder_;
};

// Values that a tensor's name and an element's number give, so that other shapes change no others.
void Numbered(const std::string& name, std::span<uint16_t> values) {
  uint32_t state = static_cast<uint32_t>(std::hash<std::string>()(name));
  for (uint16_t& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<uint16_t>(0x3c00U + (state >> 16 & 0x83ffU));
  }
}

TEST_F(RoleDiffTest, ACheckpointEqualsItself) {
  const Opened a = Make("a");
  const auto plan = Plan(a, a);
  ASSERT_TRUE(plan);
  const DiffResult result = Run(*plan);
  EXPECT_TRUE(Differences(*plan, result).empty());
  uint64_t elements = 0;
  for (const RoleOutcome& outcome : result.outcomes) elements += outcome.figures.elements;
  EXPECT_EQ(elements * 2 * 2, plan->totals.read_bytes);
  EXPECT_EQ(result.outcomes.size(), 3U + 3 * 9);
}

TEST_F(RoleDiffTest, OneElementIsFoundInEveryFormWithItsIndexAndItsUlps) {
  const Opened a = Make("a");
  MakeMaxText();
  TinyLlama spoilt;
  // Row 3 * 64 + 1 * 32 + 7 of q: head 3, half 1, pair 7.
  spoilt.spoil = [](const std::string& name, std::span<uint16_t> values) {
    if (name == "model.layers.2.self_attn.k_proj.weight") values[(64 + 32 + 7) * 256 + 41] += 5;
  };
  const Opened b = Make("b", spoilt);
  for (const char* name :
       {"a", "maxtext/bf16/scanned/0/items", "maxtext/bf16/unscanned/checkpoints/0/items"}) {
    const Opened other = Open(name, a.catalog.configs);
    const auto plan = Plan(other, b);
    ASSERT_TRUE(plan);
    const auto found = Differences(*plan, Run(*plan));
    ASSERT_EQ(found.size(), 1U) << name;
    const RoleOutcome& outcome = found.at("layer.2.attention.k");
    EXPECT_EQ(outcome.figures.different, 1U);
    EXPECT_EQ(outcome.figures.ulps, 5U);
    EXPECT_EQ(outcome.worst_index, (std::vector<uint64_t>{1, 1, 7, 41}));  // k p t e
    EXPECT_EQ(outcome.figures.difference,
              std::abs(outcome.figures.worst_a - outcome.figures.worst_b));
  }
}

TEST_F(RoleDiffTest, NeitherBoxesNorLanesChangeWhatIsFound) {
  const Opened a = Make("a");
  MakeMaxText();
  TinyLlama other;
  uint32_t n = 0;
  other.spoil = [&](const std::string&, std::span<uint16_t> values) {
    for (size_t i = ++n; i < values.size(); i += 97) values[i] ^= static_cast<uint16_t>(i % 7);
  };
  Make("b", other);
  const Opened b = Open("b");
  const Opened maxtext = Open("maxtext/bf16/scanned/0/items", a.catalog.configs);
  for (const Opened* first : {&a, &maxtext}) {
    const auto plan = Plan(*first, b, 1);
    ASSERT_TRUE(plan);
    const DiffResult expected = Run(*plan);
    EXPECT_EQ(Differences(*plan, expected).size(), plan->pairs.size());
    for (const uint64_t box_bytes : {12ULL << 10, 20ULL << 10, 100ULL << 10}) {
      const auto small = Plan(*first, b, 3, box_bytes);
      ASSERT_TRUE(small);
      EXPECT_LE(small->memory.box_bytes, box_bytes);
      uint64_t boxes = 0;
      for (const DiffTask& task : small->tasks) boxes += task.grid.Count();
      EXPECT_GT(boxes, box_bytes > 20 << 10 ? plan->tasks.size() : 300U);
      const DiffResult result = Run(*small);
      for (size_t i = 0; i < expected.outcomes.size(); ++i) {
        const RoleOutcome& x = expected.outcomes[i];
        const RoleOutcome& y = result.outcomes[i];
        EXPECT_EQ(x.figures.elements, y.figures.elements);
        EXPECT_EQ(x.figures.different, y.figures.different);
        EXPECT_EQ(x.figures.ulps, y.figures.ulps);
        EXPECT_EQ(x.figures.difference, y.figures.difference);
        EXPECT_EQ(x.worst_index, y.worst_index) << plan->pairs[i].role;
        EXPECT_EQ(x.figures.worst_a, y.figures.worst_a);
      }
    }
  }
}

TEST_F(RoleDiffTest, MoreRowsOfTheVocabularyAreComparedWithZeros) {
  TinyLlama small;
  small.spoil = Numbered;
  TinyLlama padded = small;
  padded.vocab = 512;
  bool is_padded = true;
  padded.spoil = [&](const std::string& name, std::span<uint16_t> values) {
    Numbered(name, values);
    constexpr size_t width = 256;
    if (values.size() != 512 * width) return;
    for (uint16_t& value : values.subspan(500 * width)) value = 0;
    if (!is_padded && name == "lm_head.weight") values.back() = 0x8001;
  };
  const Opened a = Make("a", small);
  const Opened b = Make("b", padded);
  for (const uint64_t box_bytes : {uint64_t{12} << 10U, kMostBoxBytes}) {
    const auto plan = Plan(a, b, 2, box_bytes);
    ASSERT_TRUE(plan);
    const DiffResult result = Run(*plan);
    EXPECT_TRUE(Differences(*plan, result).empty());
    EXPECT_TRUE(plan->pairs.front().HasMore());
    EXPECT_EQ(result.outcomes.front().figures.elements, 500U * 256);
  }
  is_padded = false;
  const Opened c = Make("c", padded);
  const auto plan = Plan(c, a);  // and the other way round
  ASSERT_TRUE(plan);
  const auto found = Differences(*plan, Run(*plan));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_FALSE(found.at("output").is_more_zero);
  EXPECT_EQ(found.at("output").figures.different, 0U);
}

TEST_F(RoleDiffTest, OtherShapesAndLayersOfOneSideAreNamedAndNotRead) {
  TinyLlama wide;
  wide.mlp = 512;
  wide.layers = 4;
  const Opened a = Make("a");
  const Opened b = Make("b", wide);
  const auto plan = Plan(a, b);
  ASSERT_TRUE(plan);
  size_t other_shapes = 0;
  size_t only_b = 0;
  for (const RolePair& pair : plan->pairs) {
    other_shapes += pair.has_other_shape ? 1 : 0;
    only_b += pair.a == nullptr ? 1 : 0;
  }
  EXPECT_EQ(other_shapes, 3U * 3);
  EXPECT_EQ(only_b, 9U);
  const DiffResult result = Run(*plan);
  for (size_t i = 0; i < plan->pairs.size(); ++i)
    EXPECT_EQ(result.outcomes[i].figures.elements > 0, plan->pairs[i].IsCompared());
}

TEST_F(RoleDiffTest, ATiedOutputIsReadOnceAndAnUntiedOneComparedWithIt) {
  TinyLlama tied;
  tied.is_tied = true;
  tied.spoil = Numbered;
  TinyLlama untied = tied;
  untied.is_tied = false;
  untied.spoil = [](const std::string& name, std::span<uint16_t> values) {
    Numbered(name == "lm_head.weight" ? "model.embed_tokens.weight" : name, values);
    if (name == "lm_head.weight") values[256] ^= 1;
  };
  const Opened a = Make("a", tied);
  const Opened b = Make("b", untied);
  const auto same = Plan(a, a);
  ASSERT_TRUE(same);
  EXPECT_EQ(same->pairs.back().role, "output");
  EXPECT_EQ(same->pairs.back().same_as, 0U);
  EXPECT_EQ(same->tasks.size() + 1, same->pairs.size());
  EXPECT_EQ(Run(*same).outcomes.back().figures.elements, 500U * 256);
  const auto plan = Plan(a, b);
  ASSERT_TRUE(plan);
  const auto found = Differences(*plan, Run(*plan));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.at("output").worst_index, (std::vector<uint64_t>{1, 0}));
}

TEST_F(RoleDiffTest, AStopEndsItAndATooSmallBudgetIsRefused) {
  const Opened a = Make("a");
  const auto plan = Plan(a, a);
  ASSERT_TRUE(plan);
  Progress progress;
  Watch watch;
  watch.stop.request_stop();
  const auto stopped = RunDiff(*plan, progress, watch);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Code::kInterrupted);
  const auto refused = PlanDiff(a.side(), a.side(), {1 << 20, 1 << 20, kDiffMemory, 2});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUsage);
  EXPECT_NE(refused.error().what.find("comparison"), std::string::npos);
}

TEST_F(RoleDiffTest, TwoFamiliesHaveNoRolesInCommon) {
  const Opened a = Make("a");
  Model other = a.model;
  const auto families = *LoadFamilies({});
  for (const auto& family : families) {
    if (family->name() == "gemma") other.family = family;
  }
  const auto plan = PlanDiff(a.side(), {a.store.get(), &a.catalog, &other},
                             {kDiffMemory, kDiffMemory, kDiffMemory, 2});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Code::kBadInput);
  EXPECT_NE(plan.error().what.find("gemma"), std::string::npos);
}

TEST_F(RoleDiffTest, AnElementIsNamedByItsTensorAndFile) {
  const Opened a = Make("a");
  MakeMaxText();
  const Opened b = Open("maxtext/bf16/scanned/0/items", a.catalog.configs);
  const auto plan = Plan(a, b);
  ASSERT_TRUE(plan);
  for (const RolePair& pair : plan->pairs) {
    if (pair.role != "layer.1.feed_forward.down") continue;
    const std::vector<uint64_t> index = {7, 300};  // e f
    const ElementPlace in_a = FindElement(a.catalog, *pair.a, index);
    EXPECT_EQ(in_a.tensor, "model.layers.1.mlp.down_proj.weight");
    EXPECT_EQ(in_a.index, index);
    EXPECT_TRUE(in_a.object.ends_with("/a/model.safetensors")) << in_a.object;
    const ElementPlace in_b = FindElement(b.catalog, *pair.b, index);
    EXPECT_EQ(in_b.tensor, "params/params/decoder/layers/mlp/wo/kernel");
    EXPECT_EQ(in_b.index, (std::vector<uint64_t>{300, 1, 7}));
    EXPECT_NE(in_b.object.find("/d/"), std::string::npos) << in_b.object;
  }
}

}  // namespace
}  // namespace ckpt
