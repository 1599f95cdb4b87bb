#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/buffer.h"
#include "store/store.h"

namespace ckpt {

/// A writer that writes nothing: it compares what would be written with an object that exists. The
/// first difference is an error (kBadInput). Thread-safe.
class CompareWriter final : public PositionedWriter {
 public:
  /// `describe`: names what lies at an offset of the file, for the error's place ("tensor
  /// norm.weight, element 17").
  CompareWriter(std::unique_ptr<ObjectReader> reader, MemoryBudget& budget,
                std::function<std::string(uint64_t file_offset)> describe);
  IoFuture WriteAt(uint64_t offset, std::span<const std::byte> bytes) override;
  Result<std::string> Settle(ByteRange /*range*/) override { return std::string(); }
  Result<void> TakeOver(ByteRange /*range*/, std::string_view /*receipt*/) override { return {}; }
  Result<ObjectInfo> Commit() override { return reader_->info(); }

 private:
  Result<void> Compare(uint64_t offset, std::span<const std::byte> bytes);
  std::unique_ptr<ObjectReader> reader_;
  MemoryBudget& budget_;
  std::function<std::string(uint64_t)> describe_;
};

/// Memory that one comparison holds.
inline constexpr uint64_t kCompareStepBytes = 1ULL << 20;

}  // namespace ckpt
