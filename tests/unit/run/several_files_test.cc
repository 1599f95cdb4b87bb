// Outputs of several files: made by several lanes, shards and runs that were cut short.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>

#include "run/convert.h"
#include "run/unfinished_file.h"
#include "tests/read_file.h"
#include "tests/sanitized.h"
#include "tests/store/faulty_store.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/run/tiny_hf.h"

namespace ckpt {
namespace {

constexpr TinyHf kOptions{.max_shard_bytes = 300'000, .bundle_bytes = 32 << 10};

std::unique_ptr<Store> OpenFolder(const std::string& path) {
  auto store = OpenFileStore(*Uri::Parse(path), {.io_threads = 2});
  EXPECT_TRUE(store);
  return std::move(*store);
}

// {name: bytes} below a folder, without the state.
std::map<std::string, std::string> FilesIn(const std::string& path) {
  std::map<std::string, std::string> files;
  if (!std::filesystem::exists(path)) return files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    const std::string name = std::filesystem::relative(entry.path(), path);
    if (entry.is_regular_file() && !name.starts_with(".ckpt-state"))
      files[name] = ReadFile(entry.path());
  }
  return files;
}

class SeveralFiles : public testing::Test {
 protected:
  SeveralFiles() {
    source_ = OpenFolder(Out("source"));
    TinyLlama{.layers = 2}.WriteTo(*source_);
  }
  std::string Out(const std::string& name) const { return folder_.path() + "/" + name; }

  Result<ConvertResult> Run(Store& source, Store& destination, const TinyHf& options = kOptions,
                            Shard shard = {}) {
    auto plan = MakeTinyHfPlan(source_, options);
    if (!plan) return Fail(plan.error());
    MemoryBudget budget(plan->memory.budget_bytes);
    Watch watch;
    Result<ConvertResult> result =
        Convert(*plan, HfTarget(), source, destination, budget,
                {false, options.threads, "auto", "0", shard, true}, watch);
    EXPECT_EQ(budget.used_bytes(), 0U) << "every grant comes back";
    return result;
  }
  Result<ConvertResult> Run(const std::string& name, const TinyHf& options = kOptions,
                            Shard shard = {}) {
    return Run(*source_, *OpenFolder(Out(name)), options, shard);
  }
  uint64_t CommitsOfAWholeRun() {
    FaultyStore counted(OpenFolder(Out("counted")));
    EXPECT_TRUE(Run(*source_, counted));
    return counted.Count(FaultPoint::kCommit);
  }

  TempFolder folder_;
  std::shared_ptr<Store> source_;
};

TEST_F(SeveralFiles, DoNotDependOnThreadsOrBundles) {
  ASSERT_TRUE(Run("one", {.max_shard_bytes = 300'000, .threads = 1}));
  const auto expected = FilesIn(Out("one"));
  EXPECT_GE(expected.size(), 8U);
  for (const unsigned threads : {2U, 7U}) {
    for (const uint64_t bundle : {4ULL << 10, 64ULL << 20}) {
      const std::string name = fmt::format("{}-{}", threads, bundle);
      ASSERT_TRUE(Run(name, {300'000, bundle, threads}));
      EXPECT_EQ(FilesIn(Out(name)), expected) << name;
    }
  }
}

TEST_F(SeveralFiles, HoldTheBytesOfAnOnlyFile) {
  ASSERT_TRUE(Run("one", {.max_shard_bytes = 0}));
  ASSERT_TRUE(Run("several"));
  const auto arrays_of = [&](const std::string& name, uint64_t limit) {
    const auto plan = MakeTinyHfPlan(source_, {.max_shard_bytes = limit});
    EXPECT_TRUE(plan);
    std::map<std::string, std::string> arrays;
    for (const FileSpec& file : plan->output.files) {
      const std::string bytes = ReadFile(Out(name) + "/" + file.name);
      EXPECT_EQ(bytes.substr(0, file.header.size()), file.header);
      for (size_t i = 0; i < file.arrays.size(); ++i)
        arrays[plan->output.arrays[file.arrays[i]].name] =
            bytes.substr(file.offsets[i], plan->arrays[file.arrays[i]].size_bytes);
    }
    return arrays;
  };
  EXPECT_EQ(arrays_of("several", kOptions.max_shard_bytes), arrays_of("one", 0));
}

TEST_F(SeveralFiles, ScalesInTheMiddleAreThoseOfAnOnlyFile) {
  const auto whole = MakeTinyPlan(source_, {"int8_per_channel"});
  const auto scattered = MakeScatteredPlan(source_);
  ASSERT_TRUE(whole && scattered);
  std::array<std::map<std::string, std::string>, 2> arrays;
  for (const size_t i : {0U, 1U}) {
    const Plan& plan = i == 0 ? *whole : *scattered;
    const std::string out = Out(std::to_string(i));
    MemoryBudget budget(plan.memory.budget_bytes);
    Watch watch;
    const auto result = Convert(plan, JetstreamPytorchTarget(), *source_, *OpenFolder(out), budget,
                                {false, 2, "auto", "0"}, watch);
    ASSERT_TRUE(result) << result.error().Print();
    for (const FileSpec& file : plan.output.files) {
      const std::string bytes = ReadFile(out + "/" + file.name);
      EXPECT_EQ(bytes.size(), file.size_bytes);
      EXPECT_EQ(bytes.substr(0, file.header.size()), file.header);
      for (size_t k = 0; k < file.arrays.size(); ++k)
        arrays[i][plan.output.arrays[file.arrays[k]].name] =
            bytes.substr(file.offsets[k], plan.arrays[file.arrays[k]].size_bytes);
    }
  }
  EXPECT_EQ(arrays[0].size(), arrays[1].size());
  EXPECT_EQ(arrays[0], arrays[1]);
}

TEST_F(SeveralFiles, ShardsInAnyOrderMakeTheSame) {
  ASSERT_TRUE(Run("whole"));
  for (const unsigned count : {2U, 7U}) {
    const std::string name = "of" + std::to_string(count);
    for (unsigned i = 0; i < count; ++i) {
      EXPECT_FALSE(std::filesystem::exists(Out(name) + "/config.json"));
      const auto result = Run(name, kOptions, {(i * 5 + 3) % count, count});
      ASSERT_TRUE(result) << result.error().Print();
      EXPECT_EQ(result->outcome, i + 1 < count ? Outcome::kWaiting : Outcome::kCommitted);
    }
    EXPECT_EQ(FilesIn(Out(name)), FilesIn(Out("whole")));
  }
}

TEST_F(SeveralFiles, AnyFaultLeavesNothingThatLoadsAndARerunGoesOn) {
  ASSERT_TRUE(Run("whole"));
  const auto whole = FilesIn(Out("whole"));
  size_t failed = 0;
  size_t kept = 0;
  for (uint64_t seed = 1; seed <= 26; seed += kCaseStep) {
    const std::vector<FaultPoint> points = {FaultPoint::kRead, FaultPoint::kWrite,
                                            FaultPoint::kSync, FaultPoint::kCommit,
                                            FaultPoint::kCreate};
    const std::string name = "out" + std::to_string(seed);
    FaultyStore source(OpenFolder(Out("source")), RandomFaults(seed, 1, {FaultPoint::kRead}, 100));
    FaultyStore destination(OpenFolder(Out(name)), RandomFaults(seed * 7, 1, points, 60));
    const auto result = Run(source, destination);
    EXPECT_EQ(std::filesystem::exists(Out(name) + "/config.json"), static_cast<bool>(result))
        << seed;
    if (result) continue;
    ++failed;
    const auto again = Run(name);
    ASSERT_TRUE(again) << seed << ": " << again.error().Print();
    kept += again->shard.kept;
    EXPECT_EQ(FilesIn(Out(name)), whole) << seed;
  }
  EXPECT_GE(failed, 8U / kCaseStep);
  EXPECT_GE(kept, 12U / kCaseStep);
}

TEST_F(SeveralFiles, AFileThatStandsWholeAlreadyIsNotWrittenAgain) {
  ASSERT_TRUE(Run("whole"));
  const auto whole = FilesIn(Out("whole"));
  const uint64_t commits = CommitsOfAWholeRun();
  size_t cut_short = 0;  // between two files
  for (uint64_t nth = commits - 12; nth <= commits; nth += kCaseStep) {
    const std::string name = "cut" + std::to_string(nth);
    FaultyStore destination(OpenFolder(Out(name)), {{FaultPoint::kCommit, nth}});
    ASSERT_FALSE(Run(*source_, destination));
    std::map<std::string, std::filesystem::file_time_type> times;
    for (const auto& [file, bytes] : FilesIn(Out(name))) {
      if (!file.ends_with(".safetensors")) continue;
      EXPECT_EQ(bytes, whole.at(file));
      times[file] = std::filesystem::last_write_time(Out(name) + "/" + file);
    }
    cut_short += !times.empty() && times.size() < whole.size() - 2 ? 1 : 0;
    const auto again = Run(name);
    ASSERT_TRUE(again) << nth << ": " << again.error().Print();
    EXPECT_EQ(FilesIn(Out(name)), whole) << nth;
    for (const auto& [file, time] : times)
      EXPECT_EQ(std::filesystem::last_write_time(Out(name) + "/" + file), time) << file;
  }
  EXPECT_GE(cut_short, 3U / kCaseStep);
}

// A stop while a file is looked at that may stand whole already is a stop, not a file in the way.
TEST_F(SeveralFiles, AStopWhileAWholeFileIsLookedAtIsAStop) {
  ASSERT_TRUE(Run("whole"));
  const auto whole = FilesIn(Out("whole"));
  const uint64_t commits = CommitsOfAWholeRun();
  size_t stopped = 0;
  size_t beside_whole = 0;
  for (uint64_t cut = commits - 6; cut <= commits - 1; ++cut) {
    for (uint64_t nth = 1; nth <= 16; nth += kCaseStep) {
      const std::string name = "cut" + std::to_string(cut) + "-" + std::to_string(nth);
      {
        FaultyStore destination(OpenFolder(Out(name)), {{FaultPoint::kCommit, cut}});
        ASSERT_FALSE(Run(*source_, destination));
      }
      const auto left = FilesIn(Out(name));
      const Error stop{Code::kInterrupted, "stopped", {}, {}, ""};
      FaultyStore destination(OpenFolder(Out(name)), {{FaultPoint::kStat, nth, stop}});
      const auto result = Run(*source_, destination);
      if (result) continue;
      ++stopped;
      beside_whole += std::any_of(left.begin(), left.end(), [](const auto& file) {
        return file.first.ends_with(".safetensors");
      });
      EXPECT_EQ(result.error().code, Code::kInterrupted) << name << ": " << result.error().Print();
      const auto again = Run(name);
      ASSERT_TRUE(again) << name << ": " << again.error().Print();
      EXPECT_EQ(FilesIn(Out(name)), whole) << name;
    }
  }
  EXPECT_GE(stopped, 8U / kCaseStep);
  EXPECT_GE(beside_whole, 4U / kCaseStep);
}

TEST_F(SeveralFiles, AFileThatIsLostVoidsWhatWasRecorded) {
  ASSERT_TRUE(Run("whole"));
  ASSERT_TRUE(Run("out", kOptions, {0, 2}));
  // Unfinished files carry other names until they are whole.
  size_t removed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(Out("out"))) {
    if (entry.is_regular_file() && removed == 0)
      removed += std::filesystem::remove(entry.path()) ? 1 : 0;
  }
  ASSERT_EQ(removed, 1U);
  const auto again = Run("out");
  ASSERT_TRUE(again) << again.error().Print();
  EXPECT_EQ(again->shard.kept, 0U);
  EXPECT_EQ(FilesIn(Out("out")), FilesIn(Out("whole")));
}

TEST_F(SeveralFiles, ADamagedNoteIsSaidWithTheWayOut) {
  ASSERT_TRUE(Run("out", kOptions, {0, 2}));
  const std::string note = StateFolder("") + "/" + std::string(kUnfinishedName);
  ASSERT_TRUE(std::filesystem::exists(Out("out") + "/" + note));
  std::ofstream(Out("out") + "/" + note) << R"({"files": [{"object": "model)";
  const auto again = Run("out");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kIo);
  EXPECT_NE(again.error().remedy.find("ckpt clean"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(Out("out") + "/config.json"));
}

TEST_F(SeveralFiles, AStopBeforeAnythingIsRecordedRemovesWhatItMade) {
  const auto plan = MakeTinyHfPlan(source_, kOptions);
  ASSERT_TRUE(plan);
  MemoryBudget budget(plan->memory.budget_bytes);
  Watch watch;
  watch.stop.request_stop();
  const auto destination = OpenFolder(Out("out"));
  const auto result = Convert(*plan, HfTarget(), *source_, *destination, budget,
                              {false, 1, "auto", "0", {}, true}, watch);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kInterrupted);
  EXPECT_TRUE(FilesIn(Out("out")).empty());
}

}  // namespace
}  // namespace ckpt
