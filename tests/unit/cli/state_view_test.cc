#include "cli/state_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/run/state_store.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RunStatus StatusIn(StateStore& store) {
  const auto runs = ReadStatus(store, store.clock_ns);
  EXPECT_TRUE(runs && runs->size() == 1);
  return runs && !runs->empty() ? runs->front() : RunStatus{};
}

TEST(StateView, RangesAreShortAndSayWhatTheyLeaveOut) {
  const std::vector<NumberRange> ranges = {{1, 1}, {4, 6}, {8, 10}, {12, 12}};
  EXPECT_EQ(RangesText(ranges, 8), "1, 4-6, 8-10, 12");
  EXPECT_THAT(RangesText(ranges, 2), HasSubstr("2 more"));
}

TEST(StateView, AgesHaveOneUnit) {
  EXPECT_EQ(AgoText(0), "0 s ago");
  EXPECT_EQ(AgoText(59.9), "59 s ago");
  EXPECT_EQ(AgoText(60), "1 min ago");
  EXPECT_EQ(AgoText(3599), "59 min ago");
  EXPECT_EQ(AgoText(7200), "2 h ago");
  EXPECT_EQ(AgoText(86400 * 3.5), "3 d ago");
}

TEST(StateView, ARunAtWorkShowsItsPaceAndItsEnd) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  for (const uint32_t number : {1U, 2U, 3U, 4U}) PutRecord(store, number);
  PutNote(store, {.shard = 0, .shards = 12, .done = 4, .total = 5, .written_bytes = 200'000'000});
  PutNote(store, {.shard = 1, .shards = 12, .age_s = 130, .total = 5});
  PutNote(store, {.shard = 10,
                  .shards = 12,
                  .state = "failed",
                  .age_s = 7300,
                  .total = 5,
                  .error = "disk \\u001b full"});
  EXPECT_EQ(StatusText("gs://b/o", StatusIn(store)),
            "gs://b/o: running, 4 of 10 bundles are done, 2:30 to go\n"
            "  source   hf://org/model@1\n"
            "  target   maxtext\n"
            "  missing  6 bundles: 5-10\n"
            "  shard 0 of 12   running  4 of 5 bundles  2.0 MB/s  5 s ago\n"
            "  shard 1 of 12   silent   0 of 5 bundles            2 min ago\n"
            "  shard 10 of 12  failed   0 of 5 bundles            2 h ago: disk \\x1b full\n"
            "  not begun: shards 2-9, 11 of 12\n");
}

TEST(StateView, EachEndSaysWhatToDoNext) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  PutNote(store, {.state = "stopped"});
  EXPECT_THAT(StatusText("o", StatusIn(store)), HasSubstr("run the same command again"));
  PutNote(store, {.state = "failed", .error = "disk full"});
  EXPECT_THAT(StatusText("o", StatusIn(store)), HasSubstr("error    disk full\n"));
  EXPECT_THAT(StatusText("o", StatusIn(store)), HasSubstr("once this is mended"));
  PutNote(store, {.state = "done"});
  EXPECT_THAT(StatusText("o", StatusIn(store)), HasSubstr("makes what is missing"));
  for (uint32_t number = 1; number <= 10; ++number) PutRecord(store, number);
  EXPECT_THAT(StatusText("o", StatusIn(store)), HasSubstr("it commits"));
}

TEST(StateView, ManyShardsThatAreDoneShareALine) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  for (unsigned shard = 0; shard < 40; ++shard)
    PutNote(store, {.shard = shard, .shards = 41, .state = shard == 7 ? "stopped" : "done"});
  const std::string text = StatusText("o", StatusIn(store));
  EXPECT_THAT(text, HasSubstr("  shard 7 of 41  stopped"));
  EXPECT_THAT(text, HasSubstr("  done: shards 0-6, 8-39 of 41\n"));
  EXPECT_THAT(text, HasSubstr("  not begun: shards 40 of 41\n"));
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 10);
}

TEST(StateView, ACommittedCheckpointIsShort) {
  StateStore store;
  const Mark mark = MarkOfThree(true);
  PutMark(store, mark, 3600, "2b_1");
  for (const std::string& name : mark.done) store.Put(name, "{}");
  EXPECT_EQ(StatusText("o", StatusIn(store)),
            "o: committed\n"
            "  run      2b_1\n"
            "  source   hf://org/model@1\n"
            "  target   maxtext\n"
            "  outputs  3 of 3 committed: bf16/scanned/0, bf16/unscanned, int8\n"
            "  report   none\n");
}

TEST(StateView, TheObjectHasAllThatTheTextHas) {
  StateStore store;
  PutMark(store, MarkOfThree(false));
  for (const uint32_t number : {1U, 2U, 5U}) PutRecord(store, number);
  PutNote(store, {.shard = 1, .shards = 3, .age_s = 121, .done = 3, .total = 4});
  const auto json = StatusJson(StatusIn(store));
  EXPECT_EQ(json["state"], "stopped");
  EXPECT_EQ(json["bundles"], 10);
  EXPECT_EQ(json["bundles_done"], 3);
  EXPECT_EQ(json["missing"].dump(), "[[3,4],[6,10]]");
  EXPECT_EQ(json["not_begun"].dump(), "[[0,0],[2,2]]");
  EXPECT_TRUE(json["eta_seconds"].is_null());
  EXPECT_EQ(json["outputs"].size(), 3U);
  EXPECT_TRUE(json["committed"].empty());
  EXPECT_EQ(json["shards"][0]["state"], "silent");
  EXPECT_EQ(json["shards"][0]["open"].dump(), "[4]");
  EXPECT_EQ(json["shards"][0]["age_seconds"], 121.0);
}

TEST(StateView, WhatWasRemovedIsCountedAndWhatStaysIsNamed) {
  StateStore store;
  const Mark mark = MarkOfThree(false);
  PutMark(store, mark);
  store.Put("bf16/scanned/0/d/1", std::string(2'000'000, 'x'));
  store.Put(mark.done[2], "{}");
  CleanOptions options;
  options.now_ns = store.clock_ns;
  options.is_dry_run = true;
  const auto dry = CleanDestination(store, options);
  ASSERT_TRUE(dry);
  EXPECT_EQ(CleanedText("o", *dry, true),
            "o: would remove 1 object (2.0 MB) of an unfinished run\n"
            "  stays    int8 (committed)\n"
            "  objects  bf16/scanned/0/d/1\n");
  options.is_dry_run = false;
  const auto wet = CleanDestination(store, options);
  ASSERT_TRUE(wet);
  EXPECT_EQ(CleanedText("o", *wet, false),
            "o: removed 1 object (2.0 MB) of an unfinished run\n"
            "  stays    int8 (committed)\n");
  EXPECT_EQ(CleanedJson(*wet, false)["runs"][0]["objects"], 1);
  EXPECT_EQ(CleanedJson(*dry, true)["runs"][0]["names"][0], "bf16/scanned/0/d/1");
  const auto again = CleanDestination(store, options);
  ASSERT_TRUE(again);
  EXPECT_EQ(CleanedText("o", *again, false),
            "o: committed: nothing to remove\n"
            "  stays    int8 (committed)\n");
}

}  // namespace
}  // namespace ckpt
