#include "run/tile_feed.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/memory.h"
#include "run/hold_pool.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/run/tiny_llama.h"

namespace ckpt {
namespace {

// Counts reads; all but the first few end only when the test lets them.
class CountingReader final : public ObjectReader {
 public:
  explicit CountingReader(bool is_in_memory) : is_in_memory_(is_in_memory) {}
  const ObjectInfo& info() const override { return info_; }
  bool IsInMemory() const override { return is_in_memory_; }
  IoFuture ReadWindow(ByteRange /*range*/, std::span<std::byte> /*window*/) override {
    std::promise<Result<void>>& read = reads_.emplace_back();
    if (reads_.size() <= kReadyReads) read.set_value({});
    return read.get_future();
  }
  Result<void> Read(ByteRange range, std::span<std::byte> into) override {
    blocks_.push_back(into.data() - range.begin % kIoAlignment);
    return {};
  }

  size_t started() const { return reads_.size(); }
  /// Where the first block of each synchronous read lies.
  const std::vector<const std::byte*>& blocks() const { return blocks_; }
  void EndAll() {
    for (size_t i = kReadyReads; i < reads_.size(); ++i) reads_[i].set_value({});
  }

 private:
  static constexpr size_t kReadyReads = 2;
  const bool is_in_memory_;
  ObjectInfo info_;
  std::vector<std::promise<Result<void>>> reads_;
  std::vector<const std::byte*> blocks_;
};

// Feeds the tiles of an embedding to `check`.
void FeedEmbedding(bool is_in_memory,
                   const std::function<void(TileFeed& feed, CountingReader& reader)>& check) {
  const TempFolder folder;
  const std::shared_ptr<Store> source = std::move(*OpenFileStore(*Uri::Parse(folder.path())));
  TinyLlama{}.WriteTo(*source);
  auto plan = MakeTinyPlan(source, {});
  ASSERT_TRUE(plan);
  plan->memory.tile_in_bytes = plan->memory.read_bytes =
      4 * kIoAlignment;  // so that the embedding is many tiles

  MemoryBudget budget(1 << 20);
  std::vector<std::unique_ptr<ObjectReader>> readers;
  auto counting = std::make_unique<CountingReader>(is_in_memory);
  CountingReader* const reader = counting.get();
  readers.push_back(std::move(counting));
  SourceChecks checks(plan->catalog);
  RecordSink records(checks, nullptr, nullptr);
  OpenFiles files({MakeFinishedWriter("file", 1)});
  const auto holds = *HoldPool::Make(budget, 0);
  StatisticTable statistics = *StatisticTable::Make(*plan, budget);
  Progress progress;
  ReaderPool pool(*source, plan->catalog);
  const RunContext context{*plan,  readers, pool,       files,    records,
                           budget, *holds,  statistics, progress, {}};

  const auto embedding = static_cast<size_t>(
      std::find_if(plan->output.arrays.begin(), plan->output.arrays.end(),
                   [](const ArraySpec& array) { return array.name == "tok_embeddings.weight"; }) -
      plan->output.arrays.begin());
  const RowSpan span{embedding, 0, plan->arrays[embedding].rows.n_rows};
  std::vector<std::byte> memory(kInputBuffersPerLane * plan->memory.tile_in_bytes);
  std::vector<std::span<std::byte>> buffers;
  for (unsigned i = 0; i < kInputBuffersPerLane; ++i)
    buffers.push_back(
        std::span(memory).subspan(i * plan->memory.tile_in_bytes, plan->memory.tile_in_bytes));
  bool is_taken = false;
  TileFeed feed(context, buffers, {}, [&]() -> std::optional<Job> {
    if (std::exchange(is_taken, true)) return std::nullopt;
    return Job{nullptr, {&span, 1}};
  });

  check(feed, *reader);
  reader->EndAll();
}

TEST(TileFeed, ReadsAheadIntoEveryBufferButTheOneInWork) {
  FeedEmbedding(false, [](TileFeed& feed, CountingReader& reader) {
    ASSERT_TRUE(feed.Next());
    EXPECT_EQ(reader.started(), kInputBuffersPerLane);
    ASSERT_TRUE(feed.Next());
    EXPECT_EQ(reader.started(), kInputBuffersPerLane + 1U) << "the first tile's buffer is free";
  });
}

TEST(TileFeed, WhatIsInMemoryComesThroughOneBuffer) {
  FeedEmbedding(true, [](TileFeed& feed, CountingReader& reader) {
    for (size_t tiles = 1; tiles <= 2; ++tiles) {
      ASSERT_TRUE(feed.Next());
      EXPECT_EQ(reader.blocks().size(), tiles) << "nothing is read ahead";
      EXPECT_EQ(reader.blocks().back(), reader.blocks().front());
      EXPECT_EQ(reader.started(), 0U);
    }
  });
}

}  // namespace
}  // namespace ckpt
