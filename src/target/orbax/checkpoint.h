#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plan/chunked_plan.h"

namespace ckpt::orbax {

// The files of one output of a ChunkedPlan as orbax-checkpoint 0.5 to 0.12 read them
// (docs/formats/orbax.md). All names are below the output's root.

/// OCDBT: "items/d/<32 hexadecimal digits>", from the layout digest, the output and the bundle.
std::string DataFileName(const ChunkedPlan& plan, size_t output, uint32_t bundle);

/// Without OCDBT: the object of one chunk, "items/a.b.c/0.1". With it, the chunk's key: same form.
std::string ChunkObjectName(const ChunkedOutput& output, size_t array, uint64_t chunk);

/// A chunk as one zstd frame of level 1 with a content checksum.
uint64_t PackedBound(uint64_t chunk_bytes);
Result<uint64_t> Pack(std::span<const std::byte> chunk, std::span<std::byte> out);

/// Tree nodes, `_METADATA`, `checkpoint`, `_CHECKPOINT_METADATA`, the manifest, the markers.
std::vector<CommitObject> CommitObjects(const ChunkedPlan& plan, size_t output,
                                        std::span<const ChunkPlace> places,
                                        std::span<const uint64_t> first);

/// "orbax-checkpoint-tmp-<digits>": what readers take for unfinished.
std::string TemporarySuffix(const ChunkedPlan& plan);

/// Marker, manifest, metadata: what a reader looks for.
bool IsMarker(std::string_view object_name);

/// Two leaves whose names on disk would be the same, or no name at all. Errors: kBadInput.
Result<void> CheckNames(const ChunkedOutput& output);

}  // namespace ckpt::orbax
