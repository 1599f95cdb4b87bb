#pragma once

#include "plan/chunked_target.h"

namespace ckpt {

/// The files of outputs of a ChunkedPlan as orbax-checkpoint 0.5 to 0.12 reads them
/// (docs/formats/orbax.md). A target derives from it and says which outputs there are.
class OrbaxTarget : public ChunkedTarget {
 public:
  /// OCDBT: "items/d/<32 hexadecimal digits>", from the layout digest, the output and the bundle.
  std::string DataFileName(const ChunkedPlan& plan, size_t output, uint32_t bundle) const final;
  /// Without OCDBT: the object of one chunk, "items/a.b.c/0.1".
  std::string ChunkObjectName(const ChunkedOutput& output, size_t array,
                              uint64_t chunk) const final;
  std::vector<uint64_t> KeyOrder(const ChunkedOutput& output, size_t array) const final;
  /// One zstd frame of level 1 with a content checksum.
  uint64_t PackedBound(uint64_t chunk_bytes) const final;
  Result<uint64_t> Pack(std::span<const std::byte> chunk, std::span<std::byte> out) const final;
  /// Tree nodes, `_METADATA`, `checkpoint`, `_CHECKPOINT_METADATA`, the manifest, the markers.
  std::vector<CommitObject> CommitObjects(const ChunkedPlan& plan, size_t output,
                                          std::span<const ChunkPlace> places,
                                          std::span<const uint64_t> first) const final;
  /// "orbax-checkpoint-tmp-<digits>": what readers take for unfinished.
  std::string TemporarySuffix(const ChunkedPlan& plan) const final;
  /// Marker, manifest, metadata: what a reader looks for.
  bool IsMarker(std::string_view object_name) const final;
  std::string_view DoneName() const final;

 protected:
  /// Two leaves whose names on disk would be the same, or no name at all. Errors: kBadInput.
  static Result<void> CheckNames(const ChunkedOutput& output);
};

}  // namespace ckpt
