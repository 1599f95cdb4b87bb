#pragma once

#include <vector>

#include "base/crc32c.h"
#include "run/chunked_context.h"

namespace ckpt {

/// Where every chunk of one output lies, from the records alone.
struct ChunkPlaces {
  std::vector<ChunkPlace> places;  ///< of array a, chunk c at places[first[a] + c]
  std::vector<uint64_t> first;     ///< by array; one more at the end
};
/// Errors: kInternal where a chunk was never recorded, or twice.
Result<ChunkPlaces> CollectPlaces(const ChunkedPlan& plan, size_t output,
                                  const ChunkedRecords& records);

/// What lies at a byte of a bundle's uncompressed data file: "array, chunk N".
std::string DescribeByte(const ChunkedPlan& plan, size_t output, uint32_t bundle, uint64_t offset);

/// By array: CRC-32C of its stored chunks, one after the other in the order of their keys.
std::vector<Crc32c> ArrayCrcs(const ChunkedPlan& plan, const ChunkedTarget& target, size_t output,
                              const ChunkPlaces& places);

}  // namespace ckpt
