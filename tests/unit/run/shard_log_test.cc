#include "run/shard_log.h"

#include <gtest/gtest.h>

#include "tests/unit/run/state_store.h"

namespace ckpt {
namespace {

ShardNote NoteIn(Store& store) {
  const auto notes = ReadShardNotes(store, "");
  EXPECT_TRUE(notes && notes->size() == 1);
  return notes && !notes->empty() ? notes->front() : ShardNote{};
}

TEST(ShardLog, SaysWhatIsDoneAndWhatIsOpen) {
  StateStore store;
  Progress progress;
  ShardLog log(store, "", {2, 8});
  log.Start(12, 500, progress);
  log.Begin(40);
  log.Done(40);
  log.Begin(41);
  progress.written_bytes = 7;
  log.End(ShardNote::State::kFailed, "disk full");
  const ShardNote note = NoteIn(store);
  EXPECT_EQ(note.part.index, 2U);
  EXPECT_EQ(note.part.count, 8U);
  EXPECT_EQ(note.state, ShardNote::State::kFailed);
  EXPECT_EQ(note.error, "disk full");
  EXPECT_EQ(note.bundles_done, 1U);
  EXPECT_EQ(note.bundles_total, 12U);
  EXPECT_EQ(note.written_bytes, 7U);
  EXPECT_EQ(note.open, std::vector<uint32_t>{41});
  EXPECT_EQ(note.most_open_bytes, 500U);
}

TEST(ShardLog, DoesNotRepeatItselfWithinSeconds) {
  StateStore store;
  const Progress progress;
  ShardLog log(store, "", {});
  log.Start(3, 0, progress);
  const uint64_t before = store.writes;
  for (uint32_t bundle = 1; bundle <= 3; ++bundle) {
    log.Begin(bundle);
    log.Pulse();
    log.Done(bundle);
  }
  EXPECT_EQ(store.writes, before);
  log.End(ShardNote::State::kDone);
  EXPECT_EQ(NoteIn(store).bundles_done, 3U) << "the last word is always said";
}

}  // namespace
}  // namespace ckpt
