#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "source/box_runs.h"
#include "source/catalog.h"
#include "source/chunk_stream.h"
#include "source/read_batch.h"

namespace ckpt {

/// Bytes that hold one decoded chunk while it is taken apart; 0 for chunks that are taken as they
/// are stored. For BoxReader's window.
uint64_t DecodeBytes(const ZarrArrayMeta& meta);

/// Reads one box of one chunked tensor. For box_reader.cc.
class ChunkReader {
 public:
  /// All must outlive it. `window`: see BoxReader. `large`: what the boxes before left; there is
  /// one decompressor at a time, so what else is decoded ends its stream.
  ChunkReader(const OpenObject& open, std::span<std::byte> window,
              const std::shared_ptr<const ChunkedTensor>& tensor, const Box& box,
              std::span<std::byte> out, LargeChunks& large);

  Result<void> Read();
  uint64_t requested_bytes() const { return requested_bytes_; }

 private:
  // A part of the tensor that is decoded by itself: a chunk, or an inner chunk of a shard.
  struct Unit {
    uint64_t number = 0;  // of the chunk
    StoredChunk place;
    Box area;  // padding included
    bool is_shard = false;
  };

  const ZarrCodecs& codecs() const { return tensor_.meta.element_codecs(); }
  bool IsPlain() const { return codecs().compression == Compression::kNone; }
  Result<void> Enqueue(ReadBatch& batch, Unit unit);
  Result<void> Flush(ReadBatch& batch);
  Result<void> Deliver(const Unit& unit, std::span<const std::byte> stored);
  Result<void> ReadInner(const Unit& shard);
  Result<void> ReadLarge(const Unit& unit);
  Result<void> Stream(const Unit& unit, const BoxRuns& runs);
  // What a unit's dense elements have in common with the box.
  BoxRuns RunsOf(const Box& area) const;
  void Fill(const Box& area);
  void Copy(const Box& area, std::span<const std::byte> elements);
  std::function<Error(Error)> AtUnit(const Unit& unit) const;

  const OpenObject& open_;
  const std::shared_ptr<const ChunkedTensor>& shared_tensor_;  // for streams, which outlive us
  const ChunkedTensor& tensor_;
  const Box& box_;
  const std::span<std::byte> out_;
  LargeChunks& large_;
  std::span<std::byte> decoded_;  // one unit's elements, where they are not taken as stored
  std::span<std::byte> stored_;   // what is read
  std::vector<Unit> units_;       // by tag of the batch under way
  uint64_t requested_bytes_ = 0;
};

}  // namespace ckpt
