#include "run/clean.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/run/state_store.h"

namespace ckpt {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Objects = std::map<std::string, std::string>;

const std::string kDone = "/_CHECKPOINT_METADATA";

CleanOptions Options(const StateStore& store) {
  CleanOptions options;
  options.now_ns = store.clock_ns;
  options.is_marker = [](std::string_view target, std::string_view object) {
    return target == "maxtext" &&
           (object.ends_with("manifest.ocdbt") || object.ends_with("_METADATA"));
  };
  return options;
}

// Everything that a run leaves in its state folder.
void PutState(StateStore& store, const std::string& state_name = "") {
  for (const uint32_t number : {1U, 2U, 5U}) PutRecord(store, number, state_name);
  const std::string folder = StateFolder(state_name);
  store.PutAged(folder + "/side/000002", "side", 60);
  store.PutAged(folder + "/tmp/data.12-0123456789abcdef.tmp", "half", 60);
  store.PutAged(folder + "/probe", "", 60);
  store.PutAged(folder + "/state.json.9-0123456789abcdef.tmp", "half", 60);
  store.PutAged(folder + "/upload.json.9-0123456789abcdef.tmp", "half", 60);
  PutNote(store, {.shard = 0, .shards = 2, .state = "failed", .error = "disk full"}, state_name);
  PutNote(store, {.shard = 1, .shards = 2, .state = "stopped"}, state_name);
}

void PutReport(StateStore& store, const Mark& mark, const std::string& state_name = "") {
  store.Put(ReportName(state_name),
            R"({"program":"ckpt","run_digest":")" + mark.run_digest + "\"}");
}

// An output of a run of three, as far as its data.
void PutData(StateStore& store, const std::string& folder) {
  for (const char* name : {"d/1", "d/2", "manifest.ocdbt", "ocdbt.process_0/d/3"})
    store.Put(folder + "/" + name, "data of " + folder);
}
void PutCommitted(StateStore& store, const std::string& root) {
  PutData(store, root);
  store.Put(root + kDone, "{}");
}

// What no run made: none of it may ever change.
Objects PutForeign(StateStore& store) {
  Objects foreign = {{"notes.txt", "mine"},
                     {"int8_weight_only.json.old", "mine"},
                     {"int8_weight_only.json.mine.tmp", "mine"},
                     {"int8-of-another/d/1", "mine"},
                     {"bf16/readme", "mine"},
                     {".ckpt-state/notes.txt", "mine"},
                     {".ckpt-state-of-mine/state.json", "mine"},
                     {"params.json.bak", "mine"},
                     {"other/model.safetensors.part", "mine"}};
  for (const auto& [name, bytes] : foreign) store.Put(name, bytes);
  return foreign;
}

Cleaned CleanWell(StateStore& store, const CleanOptions& options) {
  const auto cleaned = CleanDestination(store, options);
  EXPECT_TRUE(cleaned) << cleaned.error().Print();
  return cleaned ? *cleaned : Cleaned{};
}

// --------------------------------------------------------------------- nothing to clean

TEST(Clean, NothingOfOursIsNotFound) {
  StateStore store;
  EXPECT_EQ(CleanDestination(store, Options(store)).error().code, Code::kNotFound);
  const Objects foreign = PutForeign(store);
  store.Put(MarkName(), R"({"program":"other","files":["notes.txt"]})");
  store.Put(".ckpt-state/journal/000001", "of nobody");
  const Objects before = store.All();
  EXPECT_EQ(CleanDestination(store, Options(store)).error().code, Code::kNotFound);
  EXPECT_EQ(store.All(), before);
  EXPECT_EQ(store.removals, 0U);
}

TEST(Clean, TheStateOfAnotherVersionIsLeftAlone) {
  StateStore store;
  Mark mark = MarkOfFile();
  mark.done.clear();
  PutMark(store, mark);
  store.Put("model.safetensors", "a whole checkpoint, for all we know");
  const Objects before = store.All();
  CleanOptions options = Options(store);
  options.is_forced = true;
  EXPECT_EQ(CleanDestination(store, options).error().code, Code::kBadInput);
  EXPECT_EQ(store.All(), before);
}

// --------------------------------------------------------------------- nothing is committed

TEST(Clean, AnUnfinishedRunOfThreeLeavesNothingButWhatIsForeign) {
  for (const bool is_folder : {false, true}) {
    StateStore store(is_folder);
    const Objects foreign = PutForeign(store);
    const Mark mark = MarkOfThree(is_folder);
    PutMark(store, mark);
    PutState(store);
    PutReport(store, mark);
    for (const std::string& folder : mark.folders) PutData(store, folder);
    store.Put("int8_weight_only.json", "{}");
    store.uploads = {{"int8/d/9", "u1"}, {"bf16/scanned/0/d/9", "u2"}, {"elsewhere/x", "theirs"}};
    const Cleaned cleaned = CleanWell(store, Options(store));
    EXPECT_EQ(store.All(), foreign);
    ASSERT_THAT(cleaned.runs, SizeIs(1));
    // Three outputs of four, the companion, ten of the state, the report and the mark.
    EXPECT_THAT(cleaned.runs[0].objects, SizeIs(12 + 1 + 10 + 2));
    EXPECT_EQ(cleaned.runs[0].uploads, 2U);
    EXPECT_THAT(store.uploads,
                ElementsAre(std::pair<std::string, std::string>("elsewhere/x", "theirs")));
    EXPECT_FALSE(cleaned.is_skipping);
    EXPECT_EQ(CleanDestination(store, Options(store)).error().code, Code::kNotFound);
  }
}

TEST(Clean, AnUnfinishedFileGoesWithItsUploadAndItsHalves) {
  for (const bool is_folder : {false, true}) {
    StateStore store(is_folder);
    PutMark(store, MarkOfFile());
    PutState(store);
    store.Put(".ckpt-state/upload.json",
              R"({"files":[{"object":"model.safetensors","session":"s1"}]})");
    store.Put("params.json", "{}");
    if (is_folder) {
      store.Put("model.safetensors.part", "half");
      store.Put("params.json.7-00000000000000ff.tmp", "half");
    }
    store.uploads = {{"model.safetensors", "s1"}, {"model.safetensors", "never told of"}};
    const Cleaned cleaned = CleanWell(store, Options(store));
    EXPECT_THAT(store.All(), IsEmpty());
    EXPECT_THAT(store.uploads, IsEmpty());
    EXPECT_EQ(cleaned.runs.at(0).uploads, is_folder ? 1U : 2U) << "a part is an object";
  }
}

TEST(Clean, UploadsBesideForeignObjectsAreOnlyThoseThatTheStateTellsOf) {
  StateStore store;
  const Objects foreign = PutForeign(store);
  PutMark(store, MarkOfFile());
  store.Put(".ckpt-state/upload.json",
            R"({"files":[{"object":"model.safetensors","session":"s1"}]})");
  store.uploads = {{"model.safetensors", "s1"}, {"other/model.safetensors", "theirs"}};
  CleanWell(store, Options(store));
  EXPECT_EQ(store.All(), foreign);
  EXPECT_THAT(store.uploads, SizeIs(1));
}

TEST(Clean, AnUploadOfWhatIsNotOursIsNotEnded) {
  StateStore store(true);
  PutMark(store, MarkOfFile());
  store.Put(".ckpt-state/upload.json", R"({"files":[{"object":"thesis.txt","session":"part"}]})");
  store.Put("thesis.txt.part", "mine");
  CleanWell(store, Options(store));
  EXPECT_EQ(store.All(), (Objects{{"thesis.txt.part", "mine"}}));
}

TEST(Clean, AFailureThatMadeNothingGoesWithItsReport) {
  StateStore store;
  PutMark(store, Mark{});
  store.Put(ReportName(), R"({"program":"ckpt","result":"failed"})");
  CleanWell(store, Options(store));
  EXPECT_THAT(store.All(), IsEmpty());
}

TEST(Clean, WhatWasKilledBeforeItsMarkGoesToo) {
  StateStore store;
  store.Put(".ckpt-state/probe", "");
  store.Put(".ckpt-state/7b/state.json.1-0123456789abcdef.tmp", "half");
  store.Put(".ckpt-state/tmp/state.json.1-0123456789abcdef.tmp", "half");
  store.Put(".ckpt-state/7b/tmp/state.json.1-0123456789abcdef.tmp", "half");
  store.Put(".ckpt-state/journal/000001", "of nobody");
  const Cleaned cleaned = CleanWell(store, Options(store));
  EXPECT_THAT(cleaned.strays, SizeIs(4));
  EXPECT_EQ(store.All(), (Objects{{".ckpt-state/journal/000001", "of nobody"}}));
}

TEST(Clean, WhatALoaderLooksForGoesFirstThenTheJournalAndTheMarkLast) {
  StateStore store;
  const Mark mark = MarkOfThree(false);
  PutMark(store, mark);
  PutState(store);
  for (const std::string& folder : mark.folders) PutData(store, folder);
  store.fail_at = 4;  // after the three manifests
  EXPECT_FALSE(CleanDestination(store, Options(store)));
  for (const auto& [name, bytes] : store.All()) EXPECT_FALSE(name.ends_with("manifest.ocdbt"));
  EXPECT_TRUE(store.Has("int8/d/1"));
  store.removals = 0;
  store.fail_at = 5;  // the records and the side values are gone by then
  EXPECT_FALSE(CleanDestination(store, Options(store)));
  EXPECT_TRUE(store.Has("int8/d/1"));
  for (const auto& [name, bytes] : store.All())
    EXPECT_FALSE(name.starts_with(".ckpt-state/journal/")) << name;
  store.removals = 0;
  store.fail_at = 0;
  const uint64_t all = (CleanWell(store, Options(store)), store.removals);
  EXPECT_GT(all, 10U);
  EXPECT_THAT(store.All(), IsEmpty());
}

// --------------------------------------------------------------------- committed

TEST(Clean, ACommittedCheckpointStaysByteForByteAndLosesItsLeftovers) {
  for (const bool is_folder : {false, true}) {
    StateStore store(is_folder);
    PutForeign(store);
    const Mark mark = MarkOfThree(is_folder);
    PutMark(store, mark);
    PutReport(store, mark);
    for (const std::string& done : mark.done)
      PutCommitted(store, done.substr(0, done.size() - kDone.size()));
    store.Put("int8_weight_only.json", "{}");
    const Objects whole = store.All();
    const Cleaned nothing = CleanWell(store, Options(store));
    EXPECT_THAT(nothing.runs.at(0).objects, IsEmpty());
    EXPECT_EQ(store.All(), whole);

    PutState(store);  // of a late process
    if (is_folder) {
      PutData(store, "int8.orbax-checkpoint-tmp-7");
      store.Put("int8_weight_only.json.4-00000000000000aa.tmp", "half");
    }
    store.uploads = {{"int8/d/9", "u1"}};
    const Cleaned cleaned = CleanWell(store, Options(store));
    EXPECT_EQ(store.All(), whole);
    EXPECT_THAT(store.uploads, IsEmpty());
    EXPECT_THAT(cleaned.runs.at(0).objects, SizeIs(is_folder ? 10 + 4 + 1 : 10));
  }
}

TEST(Clean, ACommittedFileStaysByteForByteAndLosesItsLeftovers) {
  StateStore store(true);
  const Mark mark = MarkOfFile();
  PutMark(store, mark);
  PutReport(store, mark);
  store.Put("model.safetensors", "weights");
  store.Put("params.json", "{}");
  const Objects whole = store.All();
  PutState(store);
  store.Put(".ckpt-state/upload.json",
            R"({"files":[{"object":"model.safetensors","session":"part"}]})");
  store.Put("model.safetensors.part", "of a late process");
  CleanWell(store, Options(store));
  EXPECT_EQ(store.All(), whole);
}

TEST(Clean, OneOfThreeCommittedOutputsStaysWithItsReportAndAMarkOfItsOwn) {
  for (const bool is_folder : {false, true}) {
    StateStore store(is_folder);
    const Objects foreign = PutForeign(store);
    const Mark mark = MarkOfThree(is_folder);
    PutMark(store, mark);
    PutReport(store, mark);
    PutState(store);
    PutCommitted(store, "int8");
    PutData(store, mark.folders[0]);
    PutData(store, mark.folders[1]);
    store.Put("int8_weight_only.json", "{}");
    const Objects before = store.All();
    CleanWell(store, Options(store));
    const Objects after = store.All();
    for (const auto& [name, bytes] : before) {
      const bool stays = foreign.contains(name) || name.starts_with("int8/") ||
                         name == "int8_weight_only.json" || name == ReportName();
      if (name == MarkName()) continue;
      EXPECT_EQ(after.contains(name), stays) << name;
      if (stays) {
        EXPECT_EQ(after.at(name), bytes);
      }
    }
    const std::optional<Mark> left = *ReadMark(store);
    ASSERT_TRUE(left);
    EXPECT_THAT(left->done, ElementsAre(mark.done[2]));
    EXPECT_EQ(left->run_digest, mark.run_digest);
    EXPECT_EQ(left->files, mark.files);
    EXPECT_EQ(left->folders, is_folder ? std::vector<std::string>() : std::vector{mark.folders[2]});
    EXPECT_EQ(ReadStatus(store, store.clock_ns)->at(0).state, RunStatus::State::kCommitted);
    EXPECT_THAT(CleanWell(store, Options(store)).runs.at(0).objects, IsEmpty());
  }
}

TEST(Clean, WhatACommitLeavesInItsWayIsNotGuessedAt) {
  // An output's own place that the mark does not name as the run's: whose is it?
  StateStore store(true);
  PutMark(store, MarkOfThree(true));
  store.Put("int8/d/1", "of a checkpoint that was being replaced, or foreign");
  const Cleaned cleaned = CleanWell(store, Options(store));
  EXPECT_EQ(store.All().size(), 1U);
  EXPECT_THAT(cleaned.runs.at(0).others, ElementsAre("int8"));
}

TEST(Clean, AnAbandonedRunDoesNotTakeTheFilesOfAFinishedOne) {
  StateStore store;
  Mark finished = MarkOfThree(false);
  finished.folders = {"int8"};
  finished.done = {"int8" + kDone};
  PutMark(store, finished, 3600, "7b_1");
  PutReport(store, finished, "7b_1");
  PutCommitted(store, "int8");
  store.Put("int8_weight_only.json", "{}");
  const Objects whole = store.All();
  Mark abandoned = MarkOfThree(false);
  abandoned.folders = {"int8", "two/int8"};
  abandoned.done = {"int8/sub" + kDone, "two/int8" + kDone};
  PutMark(store, abandoned, 3600, "2b_1");
  PutState(store, "2b_1");
  PutData(store, "two/int8");
  const Cleaned cleaned = CleanWell(store, Options(store));
  EXPECT_EQ(store.All(), whole);
  EXPECT_THAT(cleaned.runs, SizeIs(2));
}

// --------------------------------------------------------------------- at work

TEST(Clean, ARunAtWorkIsLeftAlone) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  PutData(store, "int8");
  PutNote(store, {.age_s = 100});
  const Objects before = store.All();
  for (const bool is_dry_run : {false, true}) {
    CleanOptions options = Options(store);
    options.is_dry_run = is_dry_run;
    const Cleaned cleaned = CleanWell(store, options);
    EXPECT_TRUE(cleaned.is_skipping);
    EXPECT_TRUE(cleaned.runs.at(0).is_at_work);
    EXPECT_THAT(cleaned.runs[0].objects, IsEmpty());
    EXPECT_EQ(store.All(), before);
  }
  CleanOptions options = Options(store);
  options.is_forced = true;
  EXPECT_TRUE(CleanWell(store, options).runs.at(0).is_at_work);
  EXPECT_THAT(store.All(), IsEmpty());
}

TEST(Clean, TheStoresOwnClockTellsWhoIsAtWork) {
  // This machine is an hour early or late; the store's objects are as old as they are.
  for (const int64_t skew_s : {-3600, 0, 3600}) {
    for (const int64_t age_s : {90, 130}) {
      StateStore store;
      PutMark(store, MarkOfThree(false));
      PutNote(store, {.age_s = age_s});
      CleanOptions options = Options(store);
      options.now_ns += skew_s * StateStore::kSecond;
      EXPECT_EQ(CleanWell(store, options).is_skipping, age_s == 90) << skew_s << " " << age_s;
      EXPECT_FALSE(store.Has(ProbeName()));
    }
  }
}

TEST(Clean, AHeldRunIsAtWorkWhateverItSays) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  PutNote(store, {.state = "done", .age_s = 5000});
  CleanOptions options = Options(store);
  options.held = {""};
  EXPECT_TRUE(CleanWell(store, options).is_skipping);
  options.is_forced = true;
  CleanWell(store, options);
  EXPECT_THAT(store.All(), IsEmpty());
}

TEST(Clean, ARunThatHasJustBegunIsAtWorkUnlessItsLockSaysNo) {
  for (const bool is_locked : {false, true}) {
    StateStore store;
    PutMark(store, MarkOfThree(false), 10);
    CleanOptions options = Options(store);
    if (is_locked) options.locked = {""};
    EXPECT_EQ(CleanWell(store, options).is_skipping, !is_locked);
  }
}

TEST(Clean, BesideARunAtWorkOnlyTheAbandonedOnesGo) {
  StateStore store;
  Mark working = MarkOfThree(false);
  working.files = {"shared.json"};
  PutMark(store, working, 3600, "busy");
  PutState(store, "busy");
  PutNote(store, {.shard = 1, .shards = 2, .age_s = 1}, "busy");
  PutData(store, "int8");
  store.Put("shared.json", "{}");
  store.uploads = {{"int8/d/9", "theirs"}, {"old/d/9", "ours"}};
  Objects busy = store.All();
  busy.erase(ProbeName("busy"));  // of no meaning to anybody: the store's clock is read by it
  Mark abandoned = MarkOfThree(false);
  abandoned.folders = {"int8", "old"};
  abandoned.files = {"shared.json", "own.json"};
  abandoned.done = {"int8" + kDone, "old" + kDone};
  PutMark(store, abandoned, 3600, "dead");
  PutState(store, "dead");
  PutData(store, "old");
  store.Put("own.json", "{}");
  const Cleaned cleaned = CleanWell(store, Options(store));
  EXPECT_EQ(store.All(), busy);
  EXPECT_TRUE(cleaned.is_skipping);
  EXPECT_THAT(store.uploads,
              ElementsAre(std::pair<std::string, std::string>("int8/d/9", "theirs")));
}

// --------------------------------------------------------------------- dry runs, interruptions

TEST(Clean, ADryRunChangesNothingAndNamesWhatWouldGo) {
  for (const bool is_folder : {false, true}) {
    StateStore store(is_folder);
    PutForeign(store);
    const Mark mark = MarkOfThree(is_folder);
    PutMark(store, mark);
    PutState(store);
    PutReport(store, mark);
    PutCommitted(store, "int8");
    PutData(store, mark.folders[0]);
    store.uploads = {{"int8/d/9", "u1"}};
    store.Put(".ckpt-state/probe.1-0123456789abcdef.tmp", "");
    PutNote(store, {.age_s = 5000});  // in doubt: no probe is made for it either
    const Objects before = store.All();
    const uint64_t writes = store.writes;
    CleanOptions options = Options(store);
    options.is_dry_run = true;
    const Cleaned dry = CleanWell(store, options);
    EXPECT_EQ(store.All(), before);
    EXPECT_EQ(store.writes, writes);
    EXPECT_EQ(store.removals, 0U);
    EXPECT_THAT(store.uploads, SizeIs(1));
    options.is_dry_run = false;
    const Cleaned wet = CleanWell(store, options);
    EXPECT_EQ(dry.runs.at(0).objects, wet.runs.at(0).objects);
    EXPECT_EQ(dry.runs[0].bytes, wet.runs[0].bytes);
    uint64_t bytes = 0;
    const Objects after = store.All();
    for (const std::string& name : wet.runs[0].objects) {
      EXPECT_FALSE(after.contains(name)) << name;
      bytes += before.at(name).size();
    }
    EXPECT_EQ(wet.runs[0].bytes, bytes);
    EXPECT_EQ(after.size() + wet.runs[0].objects.size(), before.size());
  }
}

// A full destination: one output of three committed, every kind of leftover.
void PutPartlyCommitted(StateStore& store, bool is_folder, size_t committed) {
  PutForeign(store);
  const Mark mark = MarkOfThree(is_folder);
  PutMark(store, mark);
  PutReport(store, mark);
  PutState(store);
  for (size_t i = 0; i < mark.folders.size(); ++i) {
    if (i < committed) {
      PutCommitted(store, mark.done[i].substr(0, mark.done[i].size() - kDone.size()));
    } else {
      PutData(store, mark.folders[i]);
    }
  }
  store.Put("int8_weight_only.json", "{}");
  store.uploads = {{"int8/d/9", "u1"}, {"bf16/unscanned/d/9", "u2"}};
}

TEST(Clean, AnInterruptionAnywhereCanBeRepeatedToTheSameEnd) {
  size_t interruptions = 0;
  for (const bool is_folder : {false, true}) {
    for (const size_t committed : {0U, 1U, 3U}) {
      StateStore whole(is_folder);
      PutPartlyCommitted(whole, is_folder, committed);
      CleanWell(whole, Options(whole));
      ASSERT_GE(whole.removals, 10U);
      for (uint64_t at = 1; at <= whole.removals; ++at) {
        StateStore store(is_folder);
        PutPartlyCommitted(store, is_folder, committed);
        store.fail_at = at;
        const auto cut = CleanDestination(store, Options(store));
        ASSERT_FALSE(cut) << at;
        EXPECT_EQ(cut.error().code, Code::kIo);
        EXPECT_TRUE(store.Has(MarkName())) << "until all else is gone";
        EXPECT_EQ(ReadStatus(store, store.clock_ns)->at(0).committed.size(), committed);
        ++interruptions;
        store.fail_at = 0;
        CleanWell(store, Options(store));
        EXPECT_EQ(store.All(), whole.All()) << at;
        EXPECT_EQ(store.uploads, whole.uploads);
      }
    }
  }
  EXPECT_GE(interruptions, 100U);
}

TEST(Clean, AStopEndsItBetweenObjects) {
  StateStore store;
  PutPartlyCommitted(store, false, 0);
  int asked = 0;
  CleanOptions options = Options(store);
  options.is_stopping = [&] { return ++asked > 3; };
  EXPECT_EQ(CleanDestination(store, options).error().code, Code::kInterrupted);
  EXPECT_TRUE(store.Has(MarkName()));
  EXPECT_EQ(store.removals, 3U);
}

}  // namespace
}  // namespace ckpt
