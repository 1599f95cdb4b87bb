#include "run/report_state.h"

#include <gtest/gtest.h>

#include "run/chunked_convert.h"
#include "run/chunked_destination.h"
#include "run/convert.h"
#include "run/destination.h"
#include "run/mark.h"
#include "run/report.h"
#include "tests/unit/run/tiny_maxtext.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

using Kind = ReportState::Kind;

const std::string kFailure = R"({"program":"ckpt","result":"failed","exit_code":65})";
const std::string kReport(ReportName());
const std::string kMark(MarkName());

ReportState StateOf(Store& store) {
  const auto state = ReadReportState(store);
  EXPECT_TRUE(state);
  return state ? *state : ReportState{};
}

std::vector<std::string> NamesOf(Store& store) {
  std::vector<std::string> names;
  const auto objects = store.List("");
  EXPECT_TRUE(objects);
  for (const ObjectInfo& object : *objects) names.push_back(object.name);
  return names;
}

// Plans of which a destination needs only the names.
Plan FilePlan() {
  Plan plan;
  plan.run_digest = "of this run";
  plan.output.files.resize(1);
  plan.output.files[0].name = "model.safetensors";
  return plan;
}
ChunkedPlan FolderPlan() {
  ChunkedPlan plan;
  plan.run_digest = "of this run";
  plan.outputs.emplace_back();
  plan.outputs[0].name = "unscanned";
  plan.outputs[0].root = "bf16/unscanned";
  return plan;
}

// --------------------------------------------------------------------- reading

TEST(ReadReportState, AnEmptyDestinationHasNone) {
  MemoryStore store;
  EXPECT_EQ(StateOf(store).kind, Kind::kNone);
  store.Put("model.safetensors", "x");
  EXPECT_EQ(StateOf(store).kind, Kind::kNone);
}

TEST(ReadReportState, AForeignOrDamagedReportIsNone) {
  for (const char* text :
       {"", "{", "[]", "\"ckpt\"", "{}", R"({"result":"failed"})",
        R"({"program":"other","result":"failed"})", R"({"program":["ckpt"],"result":"failed"})",
        R"({"program":"other","run_digest":"d"})", R"({"program":"ckpt"})",
        R"({"program":"ckpt","run_digest":7})", "\xff\xfe"}) {
    MemoryStore store;
    store.Put(kReport, text);
    EXPECT_EQ(StateOf(store).kind, Kind::kNone) << text;
  }
}

TEST(ReadReportState, TellsAFailureFromAFinishedRun) {
  MemoryStore store;
  store.Put(kReport, kFailure);
  EXPECT_EQ(StateOf(store).kind, Kind::kFailed);
  EXPECT_EQ(StateOf(store).run_digest, "");
  store.Put(kReport, R"({"program":"ckpt","result":"failed","run_digest":"d"})");
  EXPECT_EQ(StateOf(store).kind, Kind::kFailed);
  store.Put(kReport, R"({"program":"ckpt","run_digest":"d"})");
  EXPECT_EQ(StateOf(store).kind, Kind::kDone);
  EXPECT_EQ(StateOf(store).run_digest, "d");
}

TEST(ReadReportState, KnowsTheReportOfARunOfEitherForm) {
  const auto source = std::make_shared<MemoryStore>();
  TinyLlama{.layers = 1}.WriteTo(*source);
  Watch watch;
  {
    const auto plan = MakeTinyPlan(source, {""});
    ASSERT_TRUE(plan);
    MemoryStore destination;
    MemoryBudget budget(plan->memory.budget_bytes);
    ASSERT_TRUE(Convert(*plan, JetstreamPytorchTarget(), *source, destination, budget,
                        {false, 2, "auto", "0"}, watch));
    EXPECT_EQ(StateOf(destination).kind, Kind::kDone);
    EXPECT_EQ(StateOf(destination).run_digest, plan->run_digest);
  }
  TinyMaxText options;
  options.settings.outputs = {"unscanned"};
  const auto plan = MakeTinyMaxTextPlan(source, options);
  ASSERT_TRUE(plan);
  MemoryStore destination;
  MemoryBudget budget(plan->memory.budget_bytes);
  const auto result = ConvertChunked(*plan, MaxTextTarget(), *source, destination, budget,
                                     {false, 2, "auto", "0"}, watch);
  ASSERT_TRUE(result) << result.error().Print();
  EXPECT_EQ(StateOf(destination).kind, Kind::kDone);
  EXPECT_EQ(StateOf(destination).run_digest, plan->run_digest);
}

// --------------------------------------------------------------------- writing

TEST(WriteFailureReport, LeavesTheTextMarkedAsOurs) {
  MemoryStore store;
  ASSERT_TRUE(WriteFailureReport(store, kFailure, FilePlan()));
  EXPECT_EQ(store.Get(kReport), kFailure);
  EXPECT_EQ(NamesOf(store), (std::vector<std::string>{kReport, kMark}));
  const std::optional<Mark> mark = *ReadMark(store);
  ASSERT_TRUE(mark);
  EXPECT_TRUE(mark->files.empty());
  EXPECT_TRUE(mark->folders.empty());
  EXPECT_EQ(StateOf(store).kind, Kind::kFailed);
}

TEST(WriteFailureReport, ReplacesAnEarlierFailure) {
  MemoryStore store;
  ASSERT_TRUE(WriteFailureReport(store, kFailure, FilePlan()));
  const std::string later = R"({"program":"ckpt","result":"failed","exit_code":74})";
  ASSERT_TRUE(WriteFailureReport(store, later, FilePlan()));
  EXPECT_EQ(store.Get(kReport), later);
  EXPECT_EQ(NamesOf(store), (std::vector<std::string>{kReport, kMark}));
}

TEST(WriteFailureReport, RefusesTheStateOfAnotherRun) {
  const std::vector<std::pair<std::string, std::string>> states = {
      {kReport, R"({"program":"ckpt","run_digest":"d"})"},           // finished
      {kMark, R"({"program":"ckpt","run_digest":"d","files":[]})"},  // under way
      {".ckpt-state/journal/1", "x"},
      {kReport, R"({"program":"other"})"},
      {".ckpt-state/notes.txt", "somebody's"}};
  for (const auto& [name, text] : states) {
    MemoryStore store;
    store.Put(name, text);
    const auto written = WriteFailureReport(store, kFailure, FilePlan());
    ASSERT_FALSE(written) << name;
    EXPECT_EQ(written.error().code, Code::kCannotCreate);
    EXPECT_EQ(NamesOf(store), std::vector<std::string>{name});
    EXPECT_EQ(store.Get(name), text);
  }
}

TEST(WriteFailureReport, StandsBesideTheStateOfItsOwnRun) {
  MemoryStore store;
  ASSERT_TRUE(MarkDestination(store, FilePlan()));
  store.Put(".ckpt-state/journal/000001", "x");
  ASSERT_TRUE(WriteFailureReport(store, kFailure, FilePlan()));
  EXPECT_EQ(StateOf(store).kind, Kind::kFailed);
  const auto cleared = ClearDestination(store, FilePlan(), JetstreamPytorchTarget(), false);
  ASSERT_TRUE(cleared) << cleared.error().Print();
  EXPECT_TRUE(cleared->is_resuming);
  EXPECT_TRUE(store.Has(".ckpt-state/journal/000001"));
}

// Stopped inside the commit: a service may carry out the rest of it, and then all is there.
TEST(WriteFailureReport, LeavesTheReportOfItsOwnSuccess) {
  MemoryStore store;
  ASSERT_TRUE(MarkDestination(store, FilePlan()));
  const std::string done = R"({"program":"ckpt","run_digest":"of this run"})";
  store.Put(kReport, done);
  ASSERT_TRUE(WriteFailureReport(store, kFailure, FilePlan()));
  EXPECT_EQ(store.Get(kReport), done);
}

TEST(ClearDestination, RefusesAnUnfinishedRunOfOtherSettings) {
  MemoryStore store;
  Plan other = FilePlan();
  other.run_digest = "of another run";
  ASSERT_TRUE(MarkDestination(store, other));
  store.Put("model.safetensors.part", "half");
  const auto refused = ClearDestination(store, FilePlan(), JetstreamPytorchTarget(), false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kCannotCreate);
  EXPECT_NE(refused.error().what.find("unfinished conversion"), std::string::npos);
  EXPECT_NE(refused.error().remedy.find("--overwrite"), std::string::npos);
  EXPECT_TRUE(store.Has("model.safetensors.part"));
  ASSERT_TRUE(ClearDestination(store, FilePlan(), JetstreamPytorchTarget(), true));
  EXPECT_TRUE(NamesOf(store).empty());
}

TEST(WriteFailureReport, AFilesNextRunTakesItForItsOwn) {
  MemoryStore store;
  ASSERT_TRUE(WriteFailureReport(store, kFailure, FilePlan()));
  const JetstreamPytorchTarget target;
  ASSERT_TRUE(CheckDestination(store, FilePlan(), target, false));
  const auto cleared = ClearDestination(store, FilePlan(), target, false);
  ASSERT_TRUE(cleared) << cleared.error().Print();
  EXPECT_FALSE(cleared->is_resuming);
  EXPECT_TRUE(cleared->warnings.empty());
  EXPECT_TRUE(NamesOf(store).empty());
}

TEST(WriteFailureReport, AFoldersNextRunTakesItForItsOwn) {
  MemoryStore store;
  ASSERT_TRUE(WriteFailureReport(store, kFailure, FilePlan()));
  const MaxTextTarget target;
  ASSERT_TRUE(CheckDestination(store, FolderPlan(), target, false));
  ASSERT_TRUE(ClearDestination(store, FolderPlan(), target, false));
  EXPECT_TRUE(NamesOf(store).empty());
}

TEST(WriteFailureReport, NeverMakesSomebodysFilesOurs) {
  MemoryStore store;
  store.Put("model.safetensors", "somebody's");
  store.Put("bf16/unscanned/_METADATA", "somebody's");
  ASSERT_TRUE(WriteFailureReport(store, kFailure, FilePlan()));
  EXPECT_FALSE(ClearDestination(store, FilePlan(), JetstreamPytorchTarget(), false));
  EXPECT_FALSE(ClearDestination(store, FolderPlan(), MaxTextTarget(), false));
  EXPECT_EQ(store.Get("model.safetensors"), "somebody's");
  EXPECT_EQ(store.Get("bf16/unscanned/_METADATA"), "somebody's");
}

TEST(CheckDestination, AReportWithoutAMarkIsInTheWayUnlessItTellsOfAFailure) {
  // A service may carry it out when all else has been removed.
  MemoryStore store;
  store.Put(kReport, kFailure);
  EXPECT_TRUE(CheckDestination(store, FilePlan(), JetstreamPytorchTarget(), false));
  EXPECT_TRUE(CheckDestination(store, FolderPlan(), MaxTextTarget(), false));
  for (const std::string text : {R"({"program": "ckpt", "run_digest": "12"})", "{}", ""}) {
    store.Put(kReport, text);
    EXPECT_FALSE(CheckDestination(store, FilePlan(), JetstreamPytorchTarget(), false)) << text;
    EXPECT_FALSE(CheckDestination(store, FolderPlan(), MaxTextTarget(), false)) << text;
  }
}

}  // namespace
}  // namespace ckpt
