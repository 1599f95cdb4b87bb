#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/buffer.h"
#include "run/band_feed.h"
#include "run/bundle_files.h"

namespace ckpt {

/// What runs one bundle of bands at a time, in its own memory. One thread at a time.
class ChunkedLane {
 public:
  /// Allocates the lane's arena (plan.memory.lane_bytes), used for the whole run.
  static Result<std::unique_ptr<ChunkedLane>> Make(const ChunkedContext& context);
  ~ChunkedLane();  // waits for writes under way

  /// Runs bundles until `next` has none left.
  Result<void> Run(const std::function<const ChunkedBundle*()>& next);

 private:
  explicit ChunkedLane(const ChunkedContext& context) : context_(context) {}
  Result<void> Process(const FedBand& fed);
  Result<void> WaitForWrites(size_t buffer);

  const ChunkedContext& context_;
  Buffer arena_;
  std::vector<std::span<std::byte>> in_buffers_;
  std::span<std::byte> boxed_;
  std::vector<std::span<std::byte>> out_buffers_;
  std::vector<std::vector<IoFuture>> writes_;  // by out buffer
  size_t turn_ = 0;
  std::span<std::byte> staging_;
  std::span<std::byte> packed_;
  std::optional<BundleFiles> files_;
};

}  // namespace ckpt
