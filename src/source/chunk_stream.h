#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "source/box_runs.h"
#include "source/catalog.h"
#include "source/read_batch.h"

namespace ckpt {

/// Reads that need less memory than what they pass over. For box_reader.cc and chunk_reader.cc.
/// Both give the bytes that were asked of the store.

/// The runs of a source whose first element lies at `offset` of an object; many reads at once.
Result<uint64_t> ReadRuns(const OpenObject& open, std::span<std::byte> window, uint32_t object,
                          uint64_t offset, const BoxRuns& runs, std::span<std::byte> out);

/// One stored chunk (or inner chunk) of `element_bytes` front to back, through its decompressor and
/// its checksums to the end, keeping the runs. Errors: kBadInput as DecodeStored.
Result<uint64_t> StreamChunk(const OpenObject& open, std::span<std::byte> window,
                             const ChunkedTensor& tensor, const ZarrCodecs& codecs,
                             const StoredChunk& place, uint64_t element_bytes, const BoxRuns& runs,
                             std::span<std::byte> out);

}  // namespace ckpt
