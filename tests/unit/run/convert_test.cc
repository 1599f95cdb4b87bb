#include "run/convert.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/text.h"
#include "run/compare.h"
#include "store/null/null_store.h"
#include "tests/read_file.h"
#include "tests/sanitized.h"
#include "tests/store/faulty_store.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/run/begun.h"
#include "tests/unit/run/tiny_llama.h"

namespace ckpt {
namespace {

const std::vector<std::string> kQuantizations = {"", "int8_per_channel", "int4_per_channel",
                                                 "int8_blockwise", "int4_blockwise"};

std::unique_ptr<Store> OpenFolder(const std::string& path, IoMode mode = IoMode::kAuto) {
  auto uri = Uri::Parse(path);
  EXPECT_TRUE(uri);
  auto store = OpenFileStore(*uri, {.io_mode = mode, .io_threads = 2});
  EXPECT_TRUE(store);
  return std::move(*store);
}

std::vector<std::string> FilesIn(const std::string& path) {
  std::vector<std::string> files;
  if (!std::filesystem::exists(path)) return files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) files.push_back(std::filesystem::relative(entry.path(), path));
  }
  std::sort(files.begin(), files.end());
  return files;
}

class ConvertTest : public testing::Test {
 protected:
  void MakeSource(const TinyLlama& model) {
    source_ = OpenFolder(folder_.path() + "/source");
    model.WriteTo(*source_);
  }
  Result<ConvertResult> Run(const std::string& name, const TinyPlanOptions& options,
                            bool is_overwriting = false) {
    return RunAt(Out(name), options, is_overwriting);
  }
  Result<ConvertResult> RunAt(const std::string& path, const TinyPlanOptions& options,
                              bool is_overwriting = false) {
    auto plan = MakeTinyPlan(source_, options);
    if (!plan) return Fail(plan.error());
    bundles_ = plan->bundles.size();
    MemoryBudget budget(plan->memory.budget_bytes);
    Watch watch;
    const auto destination = OpenFolder(path);
    return Convert(*plan, JetstreamPytorchTarget(), *source_, *destination, budget,
                   {is_overwriting, options.threads, "auto", "0"}, watch);
  }
  std::string Out(const std::string& name) const { return folder_.path() + "/" + name; }

  TempFolder folder_;
  std::shared_ptr<Store> source_;
  size_t bundles_ = 0;
};

TEST_F(ConvertTest, OutputDoesNotDependOnThreadsBudgetOrIo) {
  MakeSource({});
  const TempFolder disk(TempFolder::OnDisk());  // where writing goes past the page cache
  for (const std::string& quantize : kQuantizations) {
    ASSERT_TRUE(Run("one" + quantize, {quantize, 64 << 10, 1}));
    EXPECT_GE(bundles_, 8U);
    const std::string expected = ReadFile(Out("one" + quantize) + "/model.safetensors");
    for (const unsigned threads : {2U, 7U}) {
      const std::string many = disk.path() + "/" + quantize + std::to_string(threads);
      ASSERT_TRUE(RunAt(many, {quantize, 64 << 10, threads, 256ULL << 20}));
      EXPECT_EQ(ReadFile(many + "/model.safetensors"), expected) << many;
    }
  }
}

TEST_F(ConvertTest, BytesDoNotDependOnTheBundleSize) {
  MakeSource({});
  for (const std::string& quantize : kQuantizations) {
    ASSERT_TRUE(Run("large" + quantize, {quantize, 64 << 20}));
    ASSERT_TRUE(Run("small" + quantize, {quantize, 1 << 10}));
    EXPECT_EQ(ReadFile(Out("large" + quantize) + "/model.safetensors"),
              ReadFile(Out("small" + quantize) + "/model.safetensors"));
  }
}

TEST_F(ConvertTest, LeavesOnlyTheOutputAndItsReport) {
  MakeSource({});
  ASSERT_TRUE(Run("out", {"int8_per_channel"}));
  EXPECT_EQ(FilesIn(Out("out")),
            (std::vector<std::string>{".ckpt-state/report.json", ".ckpt-state/state.json",
                                      "model.safetensors"}));
}

TEST_F(ConvertTest, ComparingWithItselfFindsNoDifference) {
  MakeSource({});
  for (const std::string& quantize : kQuantizations) {
    ASSERT_TRUE(Run("out" + quantize, {quantize}));
    auto plan = MakeTinyPlan(source_, {quantize});
    ASSERT_TRUE(plan);
    const auto output = OpenFolder(Out("out" + quantize));
    MemoryBudget budget(plan->memory.budget_bytes + (64 << 20));
    const auto compare = [&] {
      return OpenFiles(
          {std::make_shared<CompareWriter>(*output->Open(*output->Stat("model.safetensors")),
                                           budget, [](uint64_t) { return "x"; })});
    };
    OpenFiles same = compare();
    Watch watch;
    Progress progress;
    const Work work = WholeWork(plan->bundles.size());
    EXPECT_TRUE(Execute(*plan, *source_, same, nullptr, work, budget, progress, watch));

    // Every byte counts: one flipped bit anywhere is found.
    std::string bytes = ReadFile(Out("out" + quantize) + "/model.safetensors");
    for (const size_t at : {size_t{3}, bytes.size() / 2, bytes.size() - 1}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      std::ofstream(Out("out" + quantize) + "/model.safetensors", std::ios::binary) << changed;
      OpenFiles other = compare();
      Watch again;
      const auto result = Execute(*plan, *source_, other, nullptr, work, budget, progress, again);
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().code, Code::kBadInput);
      EXPECT_EQ(result.error().where.at(1).value, std::to_string(at));
    }
  }
}

TEST_F(ConvertTest, ASinkTakesEveryByteOnce) {
  MakeSource({});
  for (const std::string& quantize : kQuantizations) {
    ASSERT_TRUE(Run("out" + quantize, {quantize}));
    const std::string bytes = ReadFile(Out("out" + quantize) + "/model.safetensors");
    auto plan = MakeTinyPlan(source_, {quantize});
    ASSERT_TRUE(plan);
    MemoryBudget budget(plan->memory.budget_bytes);
    const auto sink = OpenNullStore();
    Watch watch;
    ASSERT_TRUE(Convert(*plan, JetstreamPytorchTarget(), *source_, *sink, budget, {}, watch));
    const auto info = sink->Stat("model.safetensors");
    ASSERT_TRUE(info);
    EXPECT_EQ(info->crc32c, Crc32c::Of(std::as_bytes(std::span(bytes))));
  }
}

TEST_F(ConvertTest, PassesOverATransposedTensorDoNotChangeIt) {
  // 3 MiB of hold are needed at most; a plan that is forced to several passes gives the same bytes.
  MakeSource({});
  ASSERT_TRUE(Run("one", {"int8_blockwise"}));
  auto plan = MakeTinyPlan(source_, {"int8_blockwise"});
  ASSERT_TRUE(plan);
  size_t cut = 0;
  for (ArrayPlan& array : plan->arrays) {
    if (array.blocks_per_pass < 2) continue;
    array.blocks_per_pass = 1;
    array.passes = array.rows.row_elements / 128;
    ++cut;
  }
  ASSERT_GE(cut, 5U);
  MemoryBudget budget(plan->memory.budget_bytes);
  Watch watch;
  const auto destination = OpenFolder(Out("passes"));
  ASSERT_TRUE(Convert(*plan, JetstreamPytorchTarget(), *source_, *destination, budget, {}, watch));
  EXPECT_EQ(ReadFile(Out("passes") + "/model.safetensors"),
            ReadFile(Out("one") + "/model.safetensors"));
}

TEST_F(ConvertTest, ATiedHeadIsACopyOfTheEmbedding) {
  TinyLlama model;
  model.is_tied = true;
  MakeSource(model);
  ASSERT_TRUE(Run("out", {}));
  MemoryBudget budget(64ULL << 20);
  const auto catalog =
      OpenSource({std::shared_ptr<Store>(OpenFolder(Out("out"))), "model.safetensors"}, budget);
  ASSERT_TRUE(catalog);
  const std::string bytes = ReadFile(Out("out") + "/model.safetensors");
  std::string head;
  std::string embedding;
  for (const TensorEntry& tensor : catalog->tensors) {
    const std::string data = bytes.substr(tensor.pieces[0].offset_bytes, tensor.size_bytes);
    if (tensor.name == "output.weight") head = data;
    if (tensor.name == "tok_embeddings.weight") embedding = data;
  }
  EXPECT_FALSE(head.empty());
  EXPECT_EQ(head, embedding);
}

TEST_F(ConvertTest, RefusesNaNAndInfinityWithTensorAndIndex) {
  const std::vector<std::pair<std::string, uint16_t>> cases = {
      {"model.layers.1.mlp.up_proj.weight", 0x7f80}, {"model.embed_tokens.weight", 0xffc1}};
  for (const auto& [name, bits] : cases) {
    TinyLlama model;
    model.spoil = [&, tensor = name, value = bits](const std::string& at,
                                                   std::span<uint16_t> values) {
      if (at == tensor) values[3 * 256 + 17] = value;
    };
    std::filesystem::remove_all(folder_.path() + "/source");
    MakeSource(model);
    for (const std::string& quantize : kQuantizations) {
      std::filesystem::remove_all(Out("out"));
      const auto result = Run("out", {quantize});
      if (quantize.empty()) {
        EXPECT_TRUE(result) << "a cast keeps what it finds";
        continue;
      }
      ASSERT_FALSE(result) << quantize;
      EXPECT_EQ(result.error().code, Code::kBadInput);
      EXPECT_NE(result.error().what.find("[3, 17]"), std::string::npos) << result.error().Print();
      EXPECT_EQ(result.error().where.at(0).value, name);
      EXPECT_FALSE(std::filesystem::exists(Out("out") + "/model.safetensors"));
    }
  }
}

TEST_F(ConvertTest, RefusesADestinationThatIsNotOurs) {
  MakeSource({});
  std::filesystem::create_directories(Out("out"));
  std::ofstream(Out("out") + "/precious.safetensors") << "do not touch";
  std::ofstream(Out("out") + "/notes.txt") << "neither";
  const auto refused = Run("out", {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kCannotCreate);
  EXPECT_NE(refused.error().what.find("precious.safetensors"), std::string::npos);
  EXPECT_NE(refused.error().remedy.find("--overwrite"), std::string::npos);
  EXPECT_EQ(ReadFile(Out("out") + "/precious.safetensors"), "do not touch");

  // Overwriting replaces checkpoints; other files stay and are named.
  const auto replaced = Run("out", {}, true);
  ASSERT_TRUE(replaced);
  ASSERT_EQ(replaced->warnings.size(), 1U);
  EXPECT_NE(replaced->warnings[0].find("notes.txt"), std::string::npos);
  EXPECT_EQ(ReadFile(Out("out") + "/notes.txt"), "neither");
  EXPECT_FALSE(std::filesystem::exists(Out("out") + "/precious.safetensors"));
  const auto finished = Run("out", {});
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->outcome, Outcome::kCommittedByOthers);
  const auto others = Run("out", {"int8_per_channel"});
  ASSERT_FALSE(others);
  EXPECT_NE(others.error().what.find("finished checkpoint"), std::string::npos);
}

TEST_F(ConvertTest, WhatAShardSaidLateIsInNobodysWay) {
  MakeSource({});
  const auto destination = OpenFolder(Out("out"));
  const std::string note = ".ckpt-state/shards/00000-of-00001.json";
  ASSERT_TRUE(WriteSmallObject(*destination, note, "{}", {}));
  ASSERT_TRUE(Run("out", {}));
  EXPECT_FALSE(std::filesystem::exists(Out("out") + "/" + note));
  ASSERT_TRUE(WriteSmallObject(*OpenFolder(Out("other")), ".ckpt-state/shards/notes.json", "", {}));
  const auto refused = Run("other", {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kCannotCreate);
}

TEST_F(ConvertTest, WhatMeansNothingWithoutAMarkIsInNobodysWay) {
  MakeSource({});
  const auto destination = OpenFolder(Out("out"));
  const std::string failure = R"({"program": "ckpt", "result": "failed"})";
  for (const std::string name : {"journal/000001", "side/000012", "upload.json", "report.json"})
    ASSERT_TRUE(WriteSmallObject(*destination, ".ckpt-state/" + name, failure, {}));
  ASSERT_TRUE(Run("out", {}));
  EXPECT_EQ(FilesIn(Out("out")),
            (std::vector<std::string>{".ckpt-state/report.json", ".ckpt-state/state.json",
                                      "model.safetensors"}));
  // With the mark of another run they are its.
  ASSERT_TRUE(WriteSmallObject(*OpenFolder(Out("other")), ".ckpt-state/state.json", "{}", {}));
  ASSERT_TRUE(WriteSmallObject(*OpenFolder(Out("other")), ".ckpt-state/journal/000001", "", {}));
  const auto refused = Run("other", {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kCannotCreate);
}

TEST_F(ConvertTest, ClearsItsOwnUnfinishedRun) {
  MakeSource({});
  auto plan = MakeTinyPlan(source_, {});
  ASSERT_TRUE(plan);
  const auto destination = OpenFolder(Out("out"));
  ASSERT_TRUE(WriteSmallObject(
      *destination, ".ckpt-state/state.json",
      R"({"program": "ckpt", "files": ["model.safetensors", "params.json"]})", {}));
  ASSERT_TRUE(WriteSmallObject(*destination, ".ckpt-state/journal/000001", "old", {}));
  ASSERT_TRUE(WriteSmallObject(*destination, "model.safetensors.part", "old", {}));
  ASSERT_TRUE(WriteSmallObject(*destination, "params.json", "old", {}));
  ASSERT_TRUE(Run("out", {}));
  EXPECT_EQ(FilesIn(Out("out")),
            (std::vector<std::string>{".ckpt-state/report.json", ".ckpt-state/state.json",
                                      "model.safetensors"}));
}

TEST_F(ConvertTest, AnyFaultLeavesNothingThatLoadsAndARerunGoesOn) {
  MakeSource({});
  size_t failed = 0;
  size_t kept = 0;
  for (const std::string& quantize :
       {std::string("int8_per_channel"), std::string("int4_blockwise")})
    ASSERT_TRUE(Run("whole" + quantize, {quantize, 32 << 10}));
  for (uint64_t seed = 1; seed <= 24; seed += kCaseStep) {
    const TinyPlanOptions options{seed / kCaseStep % 2 == 0 ? "int8_per_channel" : "int4_blockwise",
                                  32 << 10};
    const std::string whole = "whole" + options.quantize;
    const auto plan = MakeTinyPlan(source_, options);
    ASSERT_TRUE(plan);
    const std::string name = "out" + std::to_string(seed);
    const std::string out = Out(name);
    const std::vector<FaultPoint> points = {FaultPoint::kRead, FaultPoint::kWrite,
                                            FaultPoint::kSync, FaultPoint::kCommit,
                                            FaultPoint::kCreate};
    FaultyStore source(OpenFolder(folder_.path() + "/source"),
                       RandomFaults(seed, 1, {FaultPoint::kRead}, 60));
    FaultyStore destination(OpenFolder(out), RandomFaults(seed * 7, 1, points, 40));
    MemoryBudget budget(plan->memory.budget_bytes);
    Watch watch;
    const auto result = Convert(*plan, JetstreamPytorchTarget(), source, destination, budget,
                                {false, 1, "auto", "0", {}, true}, watch);
    EXPECT_EQ(std::filesystem::exists(out + "/model.safetensors"), static_cast<bool>(result))
        << seed;
    EXPECT_EQ(budget.used_bytes(), 0U) << "every grant comes back";
    if (result) continue;
    ++failed;
    const auto again = Run(name, options);
    ASSERT_TRUE(again) << seed << ": " << again.error().Print();
    kept += again->shard.kept;
    EXPECT_EQ(ReadFile(out + "/model.safetensors"), ReadFile(Out(whole) + "/model.safetensors"));
    EXPECT_EQ(FilesIn(out), FilesIn(Out(whole))) << seed;
  }
  EXPECT_GE(failed, 10U / kCaseStep);
  EXPECT_GE(kept, 20U / kCaseStep);
}

// A destination that cannot be looked at is not one that another run has taken.
TEST_F(ConvertTest, AFaultWhileLookingAtAnUnfinishedRunIsThatFaultAndLosesNothing) {
  MakeSource({});
  const TinyPlanOptions options{"int8_per_channel", 32 << 10};
  const auto plan = MakeTinyPlan(source_, options);
  ASSERT_TRUE(plan);
  const Error busy{Code::kTemporary, "the service is busy", {}, {}, ""};
  const auto run = [&](const std::string& name, const Fault& fault) {
    FaultyStore destination(OpenFolder(Out(name)), {fault});
    MemoryBudget budget(plan->memory.budget_bytes);
    Watch watch;
    return Convert(*plan, JetstreamPytorchTarget(), *source_, destination, budget,
                   {false, 1, "auto", "0", {}, true}, watch);
  };
  size_t failed = 0;
  for (const FaultPoint point : kLooks) {
    for (uint64_t nth = 1; nth <= 6; nth += kCaseStep) {
      const std::string name = fmt::format("out{}-{}", static_cast<int>(point), nth);
      ASSERT_FALSE(run(name, {FaultPoint::kWrite, 12}));
      const auto result = run(name, {point, nth, busy});
      if (result) continue;
      ++failed;
      EXPECT_EQ(result.error().code, Code::kTemporary) << name << ": " << result.error().Print();
      const auto again = Run(name, options);
      ASSERT_TRUE(again) << name << ": " << again.error().Print();
      EXPECT_GT(again->shard.kept, 0U) << name;
    }
  }
  EXPECT_GE(failed, 10U / kCaseStep);
}

TEST_F(ConvertTest, AnotherProcessThatBeginsWhileOneLooksIsInNobodysWay) {
  MakeSource({});
  const auto plan = MakeTinyPlan(source_, {"int8_per_channel", 32 << 10});
  ASSERT_TRUE(plan);
  const auto run = [&](const std::string& name, const Fault& fault) {
    FaultyStore destination(OpenFolder(Out(name)), {fault});
    MemoryBudget budget(plan->memory.budget_bytes);
    Watch watch;
    return Convert(*plan, JetstreamPytorchTarget(), *source_, destination, budget,
                   {false, 1, "auto", "0"}, watch);
  };
  ASSERT_TRUE(run("whole", {FaultPoint::kRemove, 0}));
  ASSERT_FALSE(run("begun", {FaultPoint::kWrite, 12}));
  size_t begun = 0;
  for (const FaultPoint point : kLooks) {
    for (uint64_t nth = 1; nth <= 6; nth += kCaseStep) {
      const std::string name = fmt::format("out{}-{}", static_cast<int>(point), nth);
      const auto result =
          run(name, {point, nth, {}, [&] { begun += CopyUnlessBegun(Out("begun"), Out(name)); }});
      ASSERT_TRUE(result) << name << ": " << result.error().Print();
      EXPECT_EQ(ReadFile(Out(name) + "/model.safetensors"),
                ReadFile(Out("whole") + "/model.safetensors"))
          << name;
    }
  }
  EXPECT_GE(begun, 1U);
}

TEST_F(ConvertTest, AStopBeforeAnythingIsRecordedRemovesWhatItMade) {
  MakeSource({});
  const auto plan = MakeTinyPlan(source_, {"int8_per_channel", 16 << 10});
  ASSERT_TRUE(plan);
  const auto destination = OpenFolder(Out("out"));
  MemoryBudget budget(plan->memory.budget_bytes);
  Watch watch;
  watch.stop.request_stop();
  const auto result = Convert(*plan, JetstreamPytorchTarget(), *source_, *destination, budget,
                              {false, 1, "auto", "0", {}, true}, watch);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kInterrupted);
  EXPECT_TRUE(FilesIn(Out("out")).empty());
}

TEST_F(ConvertTest, ShardsInAnyOrderMakeTheSameFile) {
  MakeSource({});
  for (const std::string& quantize : {std::string("int8_per_channel"), std::string()}) {
    const TinyPlanOptions options{quantize, 32 << 10};
    ASSERT_TRUE(Run("whole" + quantize, options));
    for (const unsigned count : {2U, 7U}) {
      const std::string name = "shards" + quantize + std::to_string(count);
      const auto destination = OpenFolder(Out(name));
      unsigned commits = 0;
      for (unsigned i = 0; i < count; ++i) {
        const auto plan = MakeTinyPlan(source_, options);
        ASSERT_TRUE(plan);
        MemoryBudget budget(plan->memory.budget_bytes);
        Watch watch;
        const ConvertOptions part{false, 1, "auto", "0", {(i * 5 + 3) % count, count}};
        const auto result =
            Convert(*plan, JetstreamPytorchTarget(), *source_, *destination, budget, part, watch);
        ASSERT_TRUE(result) << result.error().Print();
        commits += result->outcome == Outcome::kCommitted ? 1 : 0;
        EXPECT_EQ(result->outcome, i + 1 < count ? Outcome::kWaiting : Outcome::kCommitted);
      }
      EXPECT_EQ(commits, 1U);
      EXPECT_EQ(ReadFile(Out(name) + "/model.safetensors"),
                ReadFile(Out("whole" + quantize) + "/model.safetensors"));
      EXPECT_EQ(FilesIn(Out(name)), FilesIn(Out("whole" + quantize)));
    }
  }
}

}  // namespace
}  // namespace ckpt
