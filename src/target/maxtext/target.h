#pragma once

#include "plan/chunked_target.h"

namespace ckpt {

/// Orbax checkpoints as JetStream and MaxText load them: scanned, unscanned and quantized trees.
class MaxTextTarget final : public ChunkedTarget {
 public:
  std::string_view name() const override { return "maxtext"; }
  std::span<const std::string> OutputNames() const override;
  Result<std::vector<ChunkedOutput>> Describe(const Model& model, const ChunkedSettings& settings,
                                              std::vector<std::string>& warnings) const override;
  std::string DataFileName(const ChunkedPlan& plan, size_t output, uint32_t bundle) const override;
  std::string ChunkObjectName(const ChunkedOutput& output, size_t array,
                              uint64_t chunk) const override;
  uint64_t PackedBound(uint64_t chunk_bytes) const override;
  Result<uint64_t> Pack(std::span<const std::byte> chunk, std::span<std::byte> out) const override;
  std::vector<CommitObject> CommitObjects(const ChunkedPlan& plan, size_t output,
                                          std::span<const ChunkPlace> places,
                                          std::span<const uint64_t> first) const override;
  std::string TemporarySuffix(const ChunkedPlan& plan) const override;
  bool IsMarker(std::string_view object_name) const override;
};

}  // namespace ckpt
