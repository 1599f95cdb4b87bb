#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "plan/role_work.h"
#include "run/chunked_context.h"
#include "source/box_reader.h"

namespace ckpt {

/// A band whose bytes are in memory.
struct FedBand {
  const ChunkedBundle* bundle = nullptr;  ///< null at the end
  const RoleWork* work = nullptr;
  uint64_t band = 0;
  const Tile* tile = nullptr;
  const std::byte* input = nullptr;
  bool is_last_of_bundle = false;
};

/// Reads the bands of one bundle after another into the lane's input buffers, ahead of the work.
/// One thread.
class BandFeed {
 public:
  /// `buffers`: of in_bytes each. `boxed`: boxed_bytes, for bands that are laid into canonical
  /// order.
  BandFeed(const ChunkedContext& context, std::vector<std::span<std::byte>> buffers,
           std::span<std::byte> boxed, std::function<const ChunkedBundle*()> next_bundle);
  BandFeed(const BandFeed&) = delete;
  BandFeed& operator=(const BandFeed&) = delete;
  ~BandFeed();  // waits for reads under way: they fill memory of ours

  /// The next band, valid until the call after.
  Result<FedBand> Next();

 private:
  struct Slot {
    std::span<std::byte> buffer;
    Tile tile;
    FedBand fed;
    std::vector<std::shared_ptr<ObjectReader>> readers;  // open as long as they read
    std::vector<IoFuture> reads;
    bool is_full = false;
  };
  bool FindBand();
  Result<bool> StartNext(Slot& slot);
  Result<void> ReadBoxed(Slot& slot);
  Result<void> WaitFor(Slot& slot);

  const ChunkedContext& context_;
  std::function<const ChunkedBundle*()> next_bundle_;
  std::span<std::byte> boxed_;
  std::vector<Slot> slots_;
  size_t turn_ = 0;
  BoxReader box_reader_;
  // Where the reading stands.
  const ChunkedBundle* bundle_ = nullptr;
  size_t span_ = 0;
  uint64_t band_ = 0;
  bool is_at_end_ = false;
};

}  // namespace ckpt
