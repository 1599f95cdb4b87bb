#include "run/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/store/faulty_store.h"
#include "tests/unit/run/state_store.h"

namespace ckpt {
namespace {

using State = RunStatus::State;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The one run of a store, an hour's jump of this machine's clock either way included where `skew_s`
// says so.
RunStatus StatusIn(StateStore& store, int64_t skew_s = 0) {
  const auto runs = ReadStatus(store, store.clock_ns + skew_s * StateStore::kSecond);
  EXPECT_TRUE(runs);
  if (!runs || runs->size() != 1) {
    ADD_FAILURE() << "not one run";
    return {};
  }
  return runs->front();
}

TEST(Status, NothingHasBegunInAnEmptyOrForeignDestination) {
  StateStore store;
  EXPECT_THAT(*ReadStatus(store, 0), IsEmpty());
  store.Put("model.safetensors", "foreign");
  for (const char* text : {"", "{", "[]", R"({"program":"other","files":[]})", "\xff"}) {
    store.Put(MarkName(), text);
    EXPECT_THAT(*ReadStatus(store, 0), IsEmpty()) << text;
  }
}

TEST(Status, AMarkThatCannotBeReadIsAnErrorAndNoEmptyPlace) {
  auto inner = std::make_unique<StateStore>();
  PutMark(*inner, MarkOfThree(false));
  FaultyStore store(std::move(inner), {{FaultPoint::kRead, 1}});
  EXPECT_EQ(ReadStatus(store, 0).error().code, Code::kIo);
  EXPECT_EQ(ReadStatus(store, 0)->size(), 1U);
}

TEST(Status, ARunWithoutAWordRunsIfItBeganJustNow) {
  for (const int64_t age_s : {1, 119, 121, 9999}) {
    StateStore store;
    PutMark(store, MarkOfThree(false), age_s);
    const RunStatus run = StatusIn(store);
    EXPECT_EQ(run.state, age_s < 120 ? State::kRunning : State::kStopped) << age_s;
    EXPECT_EQ(run.is_at_work(), age_s < 120);
    EXPECT_EQ(run.bundles, 10U);
    EXPECT_EQ(run.bundles_done, 0U);
    EXPECT_THAT(run.missing, ElementsAre(NumberRange{1, 10}));
    EXPECT_FALSE(run.eta_s);
  }
}

TEST(Status, CountsBundlesAndNamesTheMissingOnes) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  // The front counts as the commit; a record beyond the plan is none of its.
  for (const uint32_t number : {0U, 2U, 3U, 7U, 11U}) PutRecord(store, number);
  store.Put(".ckpt-state/journal/000004.12-0a.tmp", "half");
  const RunStatus run = StatusIn(store);
  EXPECT_EQ(run.bundles_done, 3U);
  EXPECT_THAT(run.missing, ElementsAre(NumberRange{1, 1}, NumberRange{4, 6}, NumberRange{8, 10}));
  EXPECT_EQ(run.mark.source, "hf://org/model@1");
  EXPECT_EQ(store.writes, 1U) << "status writes nothing; the mark was the test's";
}

TEST(Status, TellsWhenTheLastBundleWillBeDone) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  for (const uint32_t number : {1U, 2U, 3U, 4U}) PutRecord(store, number);
  PutNote(store, {.shard = 0, .shards = 2, .done = 3, .total = 5, .written_bytes = 2000});
  PutNote(store, {.shard = 1, .shards = 2, .age_s = 80, .done = 1, .total = 5});
  const RunStatus run = StatusIn(store);
  EXPECT_EQ(run.state, State::kRunning);
  ASSERT_EQ(run.shards.size(), 2U);
  EXPECT_DOUBLE_EQ(run.shards[0].bundles_per_second, 0.03);
  EXPECT_DOUBLE_EQ(run.shards[0].bytes_per_second, 20);
  EXPECT_DOUBLE_EQ(run.shards[1].age_s, 80);
  ASSERT_TRUE(run.eta_s);
  EXPECT_DOUBLE_EQ(*run.eta_s, 6 / 0.04);
}

TEST(Status, WhoSaysNothingForTwoMinutesIsSilentAndNotAtWork) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  PutNote(store, {.shard = 0, .shards = 2, .age_s = 121, .done = 3});
  PutNote(store, {.shard = 1, .shards = 2, .state = "done", .age_s = 121, .done = 3});
  store.PutAged(".ckpt-state/journal/000001", "record", 0);
  const RunStatus run = StatusIn(store);
  EXPECT_TRUE(run.shards[0].is_silent);
  EXPECT_FALSE(run.shards[1].is_silent) << "it has nothing more to say";
  EXPECT_EQ(run.state, State::kStopped);
  EXPECT_FALSE(run.eta_s) << "nobody runs";
  EXPECT_FALSE(run.is_at_work());
}

TEST(Status, AMachineWhoseClockIsLateDoesNotTakeWordsForYoung) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  PutNote(store, {.age_s = 300});
  PutRecord(store, 1);  // a minute old
  const RunStatus run = StatusIn(store, -3600);
  EXPECT_TRUE(run.shards[0].is_silent);
  EXPECT_DOUBLE_EQ(run.shards[0].age_s, 240);
}

TEST(Status, WhereAStoreTellsNoTimeTheSpeakersClockCounts) {
  StateStore laid;
  PutMark(laid, MarkOfThree(false));
  PutNote(laid, {});
  MemoryStore store;  // all its times are 0
  for (const auto& [name, bytes] : laid.All()) store.Put(name, bytes);
  constexpr int64_t said_s = 1795910520;  // 2026-11-29T00:02:00Z
  for (const int64_t age_s : {10, 200}) {
    const auto runs = ReadStatus(store, (said_s + age_s) * StateStore::kSecond);
    ASSERT_TRUE(runs);
    EXPECT_DOUBLE_EQ(runs->at(0).shards.at(0).age_s, static_cast<double>(age_s));
    EXPECT_EQ(runs->at(0).shards[0].is_silent, age_s == 200);
  }
}

TEST(Status, ARunWaitsForShardsThatNeverBegan) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  PutRecord(store, 1);
  PutNote(store, {.shard = 1, .shards = 5, .state = "done", .age_s = 4000});
  PutNote(store, {.shard = 2, .shards = 5, .state = "done", .age_s = 4000});
  const RunStatus run = StatusIn(store);
  EXPECT_EQ(run.state, State::kWaiting);
  EXPECT_THAT(run.not_begun, ElementsAre(NumberRange{0, 0}, NumberRange{3, 4}));
  EXPECT_FALSE(run.is_at_work());
}

TEST(Status, WithEverythingRecordedARunWaitsForItsCommit) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  for (uint32_t number = 1; number <= 10; ++number) PutRecord(store, number);
  PutNote(store, {.state = "done"});
  const RunStatus run = StatusIn(store);
  EXPECT_EQ(run.state, State::kWaiting);
  EXPECT_THAT(run.missing, IsEmpty());
  EXPECT_THAT(run.not_begun, IsEmpty());
}

TEST(Status, AStoppedRunIsStopped) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  PutNote(store, {.state = "stopped", .age_s = 1, .error = "stopped"});
  EXPECT_EQ(StatusIn(store).state, State::kStopped);
}

TEST(Status, AFailedShardIsNamedWithWhatItSaidLast) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  PutNote(store, {.shard = 0, .shards = 3, .state = "failed", .age_s = 60, .error = "older"});
  PutNote(store, {.shard = 1, .shards = 3, .state = "failed", .age_s = 30, .error = "disk full"});
  PutNote(store, {.shard = 2, .shards = 3, .state = "done"});
  RunStatus run = StatusIn(store);
  EXPECT_EQ(run.state, State::kFailed);
  EXPECT_EQ(run.error, "disk full");
  // Others may go on meanwhile.
  PutNote(store, {.shard = 2, .shards = 3, .state = "running"});
  run = StatusIn(store);
  EXPECT_EQ(run.state, State::kRunning);
  EXPECT_EQ(run.shards[1].note.error, "disk full");
}

TEST(Status, ARunThatFailedBeforeItMadeAnythingTellsByItsReport) {
  StateStore store;
  PutMark(store, Mark{});
  store.Put(ReportName(),
            R"({"program":"ckpt","result":"failed","error":{"what":"bucket is gone"}})");
  const RunStatus run = StatusIn(store);
  EXPECT_EQ(run.state, State::kFailed);
  EXPECT_EQ(run.error, "bucket is gone");
  EXPECT_EQ(run.bundles, 0U);
  EXPECT_THAT(run.missing, IsEmpty());
}

TEST(Status, ACommittedCheckpointNeedsNoJournal) {
  for (const bool has_late_word : {false, true}) {
    StateStore store;
    const Mark mark = MarkOfThree(true);
    PutMark(store, mark);
    for (const std::string& name : mark.done) store.Put(name, "{}");
    store.Put(ReportName(), R"({"program":"ckpt","run_digest":")" + mark.run_digest + "\"}");
    if (has_late_word) PutNote(store, {});
    const RunStatus run = StatusIn(store);
    EXPECT_EQ(run.state, State::kCommitted);
    EXPECT_EQ(run.bundles_done, 10U);
    EXPECT_THAT(run.missing, IsEmpty());
    EXPECT_EQ(run.report.kind, ReportState::Kind::kDone);
    EXPECT_EQ(run.committed, mark.done);
    EXPECT_EQ(run.is_at_work(), has_late_word);
  }
}

TEST(Status, SomeCommittedOutputsAreNotAll) {
  StateStore store;
  const Mark mark = MarkOfThree(true);
  PutMark(store, mark);
  PutNote(store, {.age_s = 500});
  store.Put(mark.done[2], "{}");
  const RunStatus run = StatusIn(store);
  EXPECT_EQ(run.state, State::kStopped);
  EXPECT_THAT(run.committed, ElementsAre(mark.done[2]));
}

TEST(Status, AnOtherDivisionOfTheSameRunIsOfThePast) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  PutNote(store, {.shard = 0, .shards = 1, .state = "failed", .age_s = 900, .error = "old"});
  PutNote(store, {.shard = 0, .shards = 2, .state = "done", .age_s = 20});
  PutNote(store, {.shard = 1, .shards = 2, .state = "done", .age_s = 10});
  RunStatus run = StatusIn(store);
  EXPECT_EQ(run.state, State::kWaiting);
  EXPECT_EQ(run.shards.size(), 2U);
  // Unless somebody is still at work by it.
  PutNote(store, {.shard = 0, .shards = 1, .age_s = 30});
  run = StatusIn(store);
  EXPECT_EQ(run.state, State::kRunning);
  EXPECT_EQ(run.shards.size(), 3U);
}

TEST(Status, RunsThatShareADestinationAreToldApart) {
  StateStore store;
  PutMark(store, MarkOfFile(), 3600, "7b-it_2");
  PutMark(store, MarkOfThree(false), 3600, "2b_1");
  PutRecord(store, 1, "2b_1");
  PutNote(store, {.state = "failed", .error = "x"}, "7b-it_2");
  const auto runs = ReadStatus(store, store.clock_ns);
  ASSERT_TRUE(runs);
  ASSERT_EQ(runs->size(), 2U);
  EXPECT_EQ(runs->at(0).state_name, "2b_1");
  EXPECT_EQ(runs->at(0).bundles_done, 1U);
  EXPECT_EQ(runs->at(1).state_name, "7b-it_2");
  EXPECT_EQ(runs->at(1).state, State::kFailed);
  EXPECT_EQ(runs->at(1).bundles, 8U);
}

}  // namespace
}  // namespace ckpt
