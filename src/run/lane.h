#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/buffer.h"
#include "run/context.h"
#include "run/group_kernel.h"
#include "run/hold_pool.h"
#include "run/segment_writer.h"
#include "run/tile_feed.h"
#include "run/tile_kernel.h"

namespace ckpt {

/// What runs one bundle at a time, tile after tile, in its own memory. One thread at a time.
class Lane {
 public:
  /// Allocates the lane's arena (plan.memory.lane_bytes), used for the whole run.
  static Result<std::unique_ptr<Lane>> Make(const RunContext& context);

  /// Runs bundles until `next` has none left.
  Result<void> RunBundles(const std::function<std::optional<Job>()>& next);
  /// Collects column maxima for the statistic tasks of `next`.
  Result<void> RunStatistics(const std::function<std::optional<Job>()>& next);

  /// Makes some rows of a kCast array and hands their bytes on, tile by tile; for the file's head.
  Result<void> StreamRows(const RowSpan& span,
                          const std::function<Result<void>(std::span<const std::byte>)>& take);

  /// A buffer of tile_out_bytes that is free between the calls above.
  std::span<std::byte> spare_buffer() { return out_buffers_[0]; }

 private:
  /// A bundle being written.
  struct OpenBundle {
    const Bundle* bundle;
    std::shared_ptr<PositionedWriter> file;
    uint64_t base;
    SegmentWriter writer;
    BundleRecord record;
  };

  /// One pass of a transposed array, in the hold.
  struct Collected {
    std::span<std::byte> values;
    BF16* scales;
  };

  explicit Lane(const RunContext& context) : context_(context) {}
  Result<void> Process(const FedTile& fed);
  Result<void> ProcessRows(const FedTile& fed);
  Result<void> ProcessBlocks(const FedTile& fed);
  Result<void> ProcessGroups(const FedTile& fed);
  Result<void> ProcessGroupsOfRows(const FedTile& fed);
  Result<void> WriteGroups(size_t array, uint64_t row, std::span<std::byte> out,
                           const GroupSides& sides, const Crc32c& crc);
  Collected CollectedIn(size_t array, uint64_t blocks) const;
  Result<void> WriteHold(std::span<std::byte> values, Crc32c& crc);
  Result<void> WriteUnpacked(std::span<const std::byte> packed, uint64_t n_rows, Crc32c& crc);
  Result<void> FinishBundle();
  Result<std::span<std::byte>> NextOutBuffer(uint64_t file_offset, uint64_t bytes);
  Result<std::span<std::byte>> RoomForRows(uint64_t bytes);
  void WriteRows(std::span<std::byte> out);
  uint64_t RoomBehind() const;
  void Flush();
  void AddPart(size_t array, uint64_t offset_bytes, const Crc32c& crc);
  void AddScales(size_t array, uint64_t first_element, std::span<const BF16> scales);
  void AddZeroPoints(size_t array, uint64_t row, std::span<const int8_t> zeros);
  void AddSide(size_t array, uint64_t offset_bytes, std::span<const std::byte> bytes);
  Result<void> WaitForWrites();
  void Abandon();

  const RunContext& context_;
  Buffer arena_;
  std::vector<std::span<std::byte>> in_buffers_;
  std::span<std::byte> staged_;
  std::vector<std::span<std::byte>> out_buffers_;
  std::vector<IoFuture> writes_;  // by out buffer
  size_t out_turn_ = 0;
  std::span<std::byte> waiting_;  // rows made, in that buffer, not yet written
  KernelScratch scratch_;
  std::span<uint16_t> column_max_;
  std::span<std::byte> group_carry_;  // rows, as bf16, of groups that are not full
  std::vector<int8_t> zeros_;         // of rows whose words are not full
  std::optional<OpenBundle> open_;
  HoldPool::Hold hold_;
};

}  // namespace ckpt
