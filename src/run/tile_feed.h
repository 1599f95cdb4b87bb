#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "plan/box_rows.h"
#include "plan/tile.h"
#include "run/context.h"
#include "source/box_reader.h"

namespace ckpt {

/// A sequence of spans that a lane works through: a bundle, or one statistic's reading (bundle is
/// null).
struct Job {
  const Bundle* bundle = nullptr;
  std::span<const RowSpan> spans;
};

/// A tile whose bytes are in memory.
struct FedTile {
  const Bundle* bundle = nullptr;
  Tile* tile = nullptr;
  const std::byte* input = nullptr;
  uint64_t pass = 0;  ///< of a transposed array: which part of its output
  bool is_first_of_pass = false;
  bool is_last_of_pass = false;  ///< of a span, for arrays of one pass
  bool is_last_of_job = false;
};

/// Reads the tiles of one job after another into the lane's input buffers: all but the one being
/// worked on are read ahead. One thread.
class TileFeed {
 public:
  /// `buffers`: kInputBuffersPerLane of tile_in_bytes each; `staged`: staged_bytes. `next_job`: the
  /// next one, or nothing when there is none left.
  TileFeed(const RunContext& context, std::vector<std::span<std::byte>> buffers,
           std::span<std::byte> staged, std::function<std::optional<Job>()> next_job);
  TileFeed(const TileFeed&) = delete;
  TileFeed& operator=(const TileFeed&) = delete;
  ~TileFeed();  // waits for reads under way: they fill memory of ours

  /// The next tile, valid until the call after; tile == nullptr at the end.
  Result<FedTile> Next();

 private:
  struct Slot {
    std::span<std::byte> buffer;
    Tile tile;
    FedTile fed;
    std::vector<IoFuture> reads;
    std::optional<BoxTile> box;  // instead of reads: read when it is needed
    bool is_in_memory = false;   // its reads are done when they are waited for
    bool is_full = false;
  };
  bool StartNext(Slot& slot);
  bool IsInMemory(const TensorEntry& tensor) const;
  uint64_t RowsOfTile(size_t array, bool is_in_memory) const;
  IoFuture StartRead(const Slot& slot, const TileRange& range) const;
  bool FindRows();
  Result<void> WaitForReads(Slot& slot);
  void MakePlain(const Tile& tile, std::span<std::byte> buffer) const;
  Result<void> ReadBox(Slot& slot);
  void ComputeValues(Slot& slot);
  void Drain();

  const RunContext& context_;
  std::function<std::optional<Job>()> next_job_;
  std::span<std::byte> staged_;
  std::vector<Slot> slots_;
  std::unique_ptr<BoxReader> box_reader_;  // from the first box on
  size_t turn_ = 0;                        // the slot whose tile is next
  // Where the reading stands.
  std::optional<Job> job_;
  size_t span_ = 0;
  uint64_t pass_ = 0;
  uint64_t row_ = 0;
  bool is_at_end_ = false;
};

}  // namespace ckpt
