#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/crc32c.h"
#include "plan/chunk_box.h"
#include "run/band_kernel.h"
#include "run/chunked_context.h"

namespace ckpt {

/// The data files of one bundle, one per output, being filled in the order of its bands. One
/// thread. Leaving without Commit() leaves nothing readable.
class BundleFiles {
 public:
  /// `packed`: room for one compressed chunk where outputs are compressed.
  static Result<BundleFiles> Open(const ChunkedContext& context, const ChunkedBundle& bundle,
                                  std::span<std::byte> packed);

  /// Delivers one product of a band to its outputs: starts the writes (which `writes` collects;
  /// `stored` must live until they end) and notes its chunks.
  Result<void> Write(const RoleWork& work, const Product& product, const MadeProduct& made,
                     uint64_t band, std::span<std::byte> stored, std::vector<IoFuture>& writes);

  /// All writes have ended: makes the files durable and records the bundle.
  Result<void> Commit();

 private:
  struct OpenFile {
    std::unique_ptr<PositionedWriter> positioned;  // uncompressed
    std::unique_ptr<ObjectWriter> appended;        // compressed
    uint64_t next = 0;                             // offset of the next byte
  };
  BundleFiles(const ChunkedContext& context, const ChunkedBundle& bundle,
              std::span<std::byte> packed);
  Result<void> WriteCompressed(const SliceRef& ref, const Product& product,
                               std::span<const BandChunk> chunks,
                               std::span<const std::byte> stored);
  Result<void> WriteObjects(const SliceRef& ref, const Product& product,
                            std::span<const BandChunk> chunks, const MadeProduct& made,
                            std::span<const std::byte> stored);
  void AddScales(const SliceRef& ref, const MadeProduct& made);
  Result<std::span<const std::byte>> Pack(std::span<const std::byte> chunk);

  const ChunkedContext* context_;
  std::span<std::byte> packed_;
  std::vector<OpenFile> files_;  // by output
  BundleRecord record_;
};

}  // namespace ckpt
