#include "source/chunk_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "base/text.h"
#include "base/units.h"
#include "format/zarr/chunk.h"
#include "source/box_runs.h"
#include "source/chunk_stream.h"
#include "source/reading.h"
#include "source/run_segments.h"

namespace ckpt {
namespace {

// A shard of which only some inner chunks are needed is read whole up to this: reading its index
// first would cost more.
constexpr uint64_t kSmallShardBytes = kMiB;

Shape ExtentsOf(const Box& area) {
  Shape shape;
  for (size_t axis = 0; axis < area.begin.size(); ++axis)
    shape.extents.push_back(area.end[axis] - area.begin[axis]);
  return shape;
}

// Where cell `index` of a grid of `cell`-sized cells lies, counted from `origin`.
Box CellArea(const std::vector<uint64_t>& origin, const std::vector<uint64_t>& index,
             const Shape& cell) {
  Box area;
  for (size_t axis = 0; axis < index.size(); ++axis) {
    area.begin.push_back(origin[axis] + index[axis] * cell[axis]);
    area.end.push_back(area.begin.back() + cell[axis]);
  }
  return area;
}

// The cells of a grid that meet a box, in C order; `visit(number, area)`.
template <class Visit>
Result<void> ForEachCell(const Shape& grid, const Shape& cell, const std::vector<uint64_t>& origin,
                         const Box& box, const Visit& visit) {
  const size_t rank = grid.rank();
  std::vector<uint64_t> first(rank);
  std::vector<uint64_t> end(rank);
  for (size_t axis = 0; axis < rank; ++axis) {
    first[axis] = (std::max(box.begin[axis], origin[axis]) - origin[axis]) / cell[axis];
    end[axis] = std::min(grid[axis], CeilDiv(box.end[axis] - origin[axis], cell[axis]));
  }
  std::vector<uint64_t> index = first;
  for (;;) {
    uint64_t number = 0;
    for (size_t axis = 0; axis < rank; ++axis) number = number * grid[axis] + index[axis];
    CKPT_TRY_VOID(visit(number, CellArea(origin, index, cell)));
    size_t axis = rank;
    while (axis > 0 && ++index[axis - 1] == end[axis - 1]) {
      index[axis - 1] = first[axis - 1];
      --axis;
    }
    if (axis == 0) return {};
  }
}

}  // namespace

uint64_t DecodeBytes(const ZarrArrayMeta& meta) {
  if (meta.sharding) return ZarrChunkBytes(meta) + ChunkScratchBytes(meta);
  return meta.codecs.compression == Compression::kNone ? 0 : ZarrChunkBytes(meta);
}

ChunkReader::ChunkReader(const OpenObject& open, std::span<std::byte> window,
                         const std::shared_ptr<const ChunkedTensor>& tensor, const Box& box,
                         std::span<std::byte> out, LargeChunks& large)
    : open_(open), shared_tensor_(tensor), tensor_(*tensor), box_(box), out_(out), large_(large) {
  const ZarrArrayMeta& meta = tensor_.meta;
  uint64_t decode_bytes = DecodeBytes(meta);
  // At least half the window is for what is read. What cannot be decoded in the other half is taken
  // in smaller steps: by inner chunks, or as a stream.
  if (decode_bytes > window.size() / 2 && meta.sharding) decode_bytes = ZarrInnerBytes(meta);
  decode_bytes = RoundUp(decode_bytes, kIoAlignment);
  if (decode_bytes > window.size() / 2) decode_bytes = 0;
  stored_ = window.first(window.size() - decode_bytes);
  decoded_ = window.last(decode_bytes);
}

Result<void> ChunkReader::Read() {
  ReadBatch batch(open_, stored_);
  const std::vector<uint64_t> zero(box_.begin.size(), 0);
  CKPT_TRY_VOID(ForEachCell(
      ZarrGrid(tensor_.meta), tensor_.chunk, zero, box_,
      [&](uint64_t number, Box area) -> Result<void> {
        const StoredChunk& place = tensor_.chunks[number];
        if (place.length == 0) {
          Fill(area);
          return {};
        }
        return Enqueue(batch, {number, place, std::move(area), tensor_.meta.sharding.has_value()});
      }));
  CKPT_TRY_VOID(Flush(batch));
  FinishElements(tensor_.meta, out_);
  return {};
}

Result<void> ChunkReader::Enqueue(ReadBatch& batch, Unit unit) {
  const uint64_t unit_bytes =
      unit.is_shard ? DecodeBytes(tensor_.meta) : BoxBytes(tensor_.meta.dtype, unit.area);
  const bool is_decodable = (IsPlain() && !unit.is_shard) || unit_bytes <= decoded_.size();
  if (unit.place.object == kInlineChunk) {
    // At most 1 MiB stored; what that decodes to may still be too large for the window.
    if (!is_decodable) return ReadLarge(unit);
    return Deliver(unit, std::as_bytes(std::span(tensor_.inline_bytes))
                             .subspan(unit.place.offset, unit.place.length));
  }
  const bool is_fitting = is_decodable && ReadBatch::Need(unit.place.length) <= stored_.size();
  const bool is_part = unit.is_shard && unit.place.length > kSmallShardBytes &&
                       Intersect(unit.area, box_) != unit.area &&
                       tensor_.meta.chunk != tensor_.meta.sharding->inner;
  if (!is_fitting || is_part) {
    CKPT_TRY_VOID(Flush(batch));
    return unit.is_shard ? ReadInner(unit) : ReadLarge(unit);
  }
  const ByteRange range{unit.place.offset, unit.place.offset + unit.place.length};
  if (!batch.Add(unit.place.object, range, units_.size())) {
    CKPT_TRY_VOID(Flush(batch));
    CKPT_CHECK(batch.Add(unit.place.object, range, 0));
  }
  units_.push_back(std::move(unit));
  return {};
}

Result<void> ChunkReader::Flush(ReadBatch& batch) {
  const uint64_t before = batch.requested_bytes();
  auto done = batch.Run(
      [&](uint64_t tag, std::span<const std::byte> bytes) { return Deliver(units_[tag], bytes); });
  requested_bytes_ += batch.requested_bytes() - before;
  units_.clear();
  return done;
}

Result<void> ChunkReader::Deliver(const Unit& unit, std::span<const std::byte> stored) {
  const ZarrArrayMeta& meta = tensor_.meta;
  if (!IsPlain()) large_.stream.reset();
  if (unit.is_shard) {
    const uint64_t chunk_bytes = ZarrChunkBytes(meta);
    const auto elements = decoded_.first(chunk_bytes);
    CKPT_TRY_VOID(DecodeChunkAsStored(meta, stored, elements, decoded_.subspan(chunk_bytes))
                      .map_error(AtUnit(unit)));
    Copy(unit.area, elements);
    return {};
  }
  const uint64_t unit_bytes = BoxBytes(meta.dtype, unit.area);
  if (!IsPlain()) {
    const auto elements = decoded_.first(unit_bytes);
    CKPT_TRY_VOID(DecodeStored(codecs(), stored, elements).map_error(AtUnit(unit)));
    Copy(unit.area, elements);
    return {};
  }
  CKPT_TRY(const std::span<const std::byte> elements,
           PlainElements(codecs(), stored, unit_bytes).map_error(AtUnit(unit)));
  Copy(unit.area, elements);
  return {};
}

// Only the inner chunks that the box meets, after the index that says where they lie.
Result<void> ChunkReader::ReadInner(const Unit& shard) {
  const ZarrArrayMeta& meta = tensor_.meta;
  CKPT_TRY(const ByteRange at, ShardIndexRange(meta, shard.place.length).map_error(AtUnit(shard)));
  const uint64_t need = ReadBatch::Need(at.size());
  if (need > stored_.size() / 2)
    return Fail(AtUnit(shard)({Code::kResources,
                               fmt::format("a shard's index of {} is too large for the memory of "
                                           "one read, {}",
                                           FormatBytes(at.size()), FormatMemory(stored_.size())),
                               {},
                               {},
                               "give a larger --memory"}));
  const std::span<std::byte> index_window = stored_.first(need);
  const std::span<std::byte> rest = stored_.subspan(need);
  std::span<const std::byte> index_bytes;
  ReadBatch index_batch(open_, index_window);
  const uint64_t begin = shard.place.offset + at.begin;
  CKPT_CHECK(index_batch.Add(shard.place.object, {begin, begin + at.size()}, 0));
  CKPT_TRY_VOID(index_batch.Run([&](uint64_t, std::span<const std::byte> bytes) -> Result<void> {
    index_bytes = bytes;  // stays in its window
    return {};
  }));
  requested_bytes_ += index_batch.requested_bytes();
  CKPT_TRY(const ShardIndex index,
           ShardIndex::Open(meta, index_bytes, shard.place.length).map_error(AtUnit(shard)));

  const std::span<std::byte> whole = std::exchange(stored_, rest);
  ReadBatch batch(open_, stored_);
  auto read = ForEachCell(
      InnerGrid(meta), meta.sharding->inner, shard.area.begin, box_,
      [&](uint64_t number, Box area) -> Result<void> {
        CKPT_TRY(const InnerChunk inner, index.At(number).map_error(AtUnit(shard)));
        if (inner.is_absent) {
          Fill(area);
          return {};
        }
        if (inner.length == 0)
          return Fail(AtUnit(shard)({Code::kBadInput,
                                     fmt::format("inner chunk {} of a shard has 0 bytes", number),
                                     {},
                                     {},
                                     "the checkpoint is damaged: fetch it again"}));
        return Enqueue(batch,
                       {shard.number,
                        {shard.place.object, shard.place.offset + inner.offset, inner.length},
                        std::move(area),
                        false});
      });
  if (read) read = Flush(batch);
  units_.clear();
  stored_ = whole;
  return read;
}

Result<void> ChunkReader::ReadLarge(const Unit& unit) {
  const ZarrArrayMeta& meta = tensor_.meta;
  if (unit.is_shard)  // an inline shard: reading it by inner chunks would need an object
    return Fail(AtUnit(unit)({Code::kResources,
                              fmt::format("a shard of {} is too large for the memory of one read",
                                          FormatBytes(ZarrChunkBytes(meta))),
                              {},
                              {},
                              "give a larger --memory"}));
  const BoxRuns runs = RunsOf(unit.area);
  if (IsPlain() && runs.total_bytes() < BoxBytes(meta.dtype, unit.area) / 2) {
    auto read = ReadRuns(open_, stored_, unit.place.object, unit.place.offset, runs, out_);
    if (!read) return Fail(AtUnit(unit)(std::move(read).error()));
    requested_bytes_ += *read;
    return {};
  }
  return Stream(unit, runs).map_error(AtUnit(unit));
}

Result<void> ChunkReader::Stream(const Unit& unit, const BoxRuns& runs) {
  std::optional<ChunkStream> plain;  // asks for what it needs: nothing of it is worth keeping
  std::optional<ChunkStream>& stream = IsPlain() ? plain : large_.stream;
  const LargeChunks::Name name{shared_tensor_, unit.place.object, unit.place.offset,
                               unit.place.length};
  if (!stream || !stream->IsBefore(tensor_, unit.place, runs)) {
    stream.reset();  // before the next one takes its memory
    CKPT_TRY(ChunkStream opened,
             ChunkStream::Open(shared_tensor_, unit.place, BoxBytes(tensor_.meta.dtype, unit.area),
                               stored_.size()));
    stream.emplace(std::move(opened));
  }
  const bool to_end = IsPlain() || !large_.checked.contains(name);
  const uint64_t before = stream->requested_bytes();
  auto read = stream->Read(open_, stored_, runs, to_end, out_);
  requested_bytes_ += stream->requested_bytes() - before;
  if (!read || to_end) stream.reset();
  if (read && !IsPlain()) large_.checked.insert(name);
  return read;
}

BoxRuns ChunkReader::RunsOf(const Box& area) const {
  const DType dtype = tensor_.meta.dtype;
  return {dtype, area, RowMajorStrides(dtype, ExtentsOf(area)), box_};
}

void ChunkReader::Fill(const Box& area) {
  BoxRuns runs = RunsOf(area);
  for (BoxRun run; runs.Next(run);) FillElements(tensor_.meta, out_.subspan(run.out, run.bytes));
}

void ChunkReader::Copy(const Box& area, std::span<const std::byte> elements) {
  BoxRuns runs = RunsOf(area);
  for (BoxRun run; runs.Next(run);)
    std::memcpy(out_.data() + run.out, elements.data() + run.source, run.bytes);
}

std::function<Error(Error)> ChunkReader::AtUnit(const Unit& unit) const {
  return [this, &unit](Error error) {
    const bool has_file = NamesFile(error);
    if (unit.place.object != kInlineChunk && !has_file)
      error.where.push_back({"byte", std::to_string(unit.place.offset)});
    error.where.push_back({"key", ZarrChunkKey(tensor_.meta, unit.number)});
    if (unit.place.object == kInlineChunk || has_file) return error;
    if (const auto reader = open_(unit.place.object))
      error.where.push_back({"file", Printable((*reader)->info().name)});
    return error;
  };
}

}  // namespace ckpt
