#include "source/box_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/checked.h"
#include "base/text.h"
#include "format/zarr/meta.h"
#include "source/box_runs.h"
#include "source/chunk_reader.h"
#include "source/chunk_stream.h"
#include "source/element_form.h"

namespace ckpt {
namespace {

constexpr uint64_t kChunksAtOnce = 3;
// While a CRC is made; 48 of them are the key order of a grid of one axis.
constexpr uint64_t kBytesPerChunk = sizeof(Crc32c) + 48;

uint64_t LongestStored(const ChunkedTensor& chunked) {
  uint64_t longest = 0;
  for (const StoredChunk& chunk : chunked.chunks) longest = std::max(longest, chunk.length);
  return longest;
}

// The indexes of one axis of a grid in the order of their decimal texts: 0, 1, 10, 11, 2. The
// separator sorts before every digit, so keys sort axis by axis.
std::vector<uint64_t> KeyOrder(uint64_t extent) {
  std::vector<std::pair<std::string, uint64_t>> texts;
  texts.reserve(extent);
  for (uint64_t i = 0; i < extent; ++i) texts.emplace_back(std::to_string(i), i);
  std::sort(texts.begin(), texts.end());
  std::vector<uint64_t> order;
  order.reserve(extent);
  for (const auto& [text, index] : texts) order.push_back(index);
  return order;
}

// Appends the chunks' CRCs in the order of their keys: axis by axis, from the outside in.
void AppendInKeyOrder(const std::vector<std::vector<uint64_t>>& orders, size_t axis,
                      uint64_t number, const std::vector<Crc32c>& chunks, Crc32c& sum) {
  if (axis == orders.size()) return sum.Append(chunks[number]);
  for (const uint64_t index : orders[axis])
    AppendInKeyOrder(orders, axis + 1, number * orders[axis].size() + index, chunks, sum);
}

}  // namespace

uint64_t BoxWindowBytes(const TensorEntry& tensor, uint64_t limit_bytes) {
  if (tensor.chunked == nullptr) return kLeastBoxWindowBytes;
  const uint64_t most = limit_bytes / 2;
  const uint64_t chunk_bytes = ZarrChunkBytes(tensor.chunked->meta);
  const uint64_t several = RoundDown(kChunksAtOnce * chunk_bytes, kIoAlignment);
  if (several <= most) return std::max(kLeastBoxWindowBytes, several);
  const uint64_t decoded = RoundUp(DecodeBytes(tensor.chunked->meta), kIoAlignment);
  const uint64_t one = decoded + std::max(decoded, ReadBatch::Need(LongestStored(*tensor.chunked)));
  return one <= most && one <= several ? std::max(kLeastBoxWindowBytes, one) : kLeastBoxWindowBytes;
}

BoxReader::BoxReader(std::span<const std::unique_ptr<ObjectReader>> readers, MemoryBudget& budget,
                     std::stop_token stop)
    : BoxReader(
          [readers](uint32_t object) -> Result<std::shared_ptr<ObjectReader>> {
            CKPT_CHECK(object < readers.size() && readers[object] != nullptr);
            // Owns nothing: the readers outlive us.
            return std::shared_ptr<ObjectReader>(std::shared_ptr<void>(), readers[object].get());
          },
          budget, std::move(stop)) {}

BoxReader::BoxReader(OpenObject open, MemoryBudget& budget, std::stop_token stop)
    : open_(std::move(open)), budget_(budget), stop_(std::move(stop)) {}

Result<void> BoxReader::TakeWindow(const TensorEntry& tensor) {
  const uint64_t bytes = BoxWindowBytes(tensor, budget_.limit_bytes());
  if (window_.size() >= bytes) return {};
  window_ = Buffer();  // before the next is asked for: both together may be too much
  CKPT_TRY(Grant grant, budget_.Acquire(bytes, stop_));
  CKPT_TRY(window_, Buffer::Allocate(std::move(grant)));
  return {};
}

Result<void> BoxReader::Read(const TensorEntry& tensor, const Box& box, std::span<std::byte> out) {
  CKPT_CHECK(box.begin.size() == tensor.shape.rank() && box.end.size() == tensor.shape.rank());
  for (size_t axis = 0; axis < box.begin.size(); ++axis)
    CKPT_CHECK(box.begin[axis] <= box.end[axis] && box.end[axis] <= tensor.shape[axis]);
  if (IsEmpty(box)) return {};
  CKPT_TRY_VOID(TakeWindow(tensor));
  const auto in_tensor = Where("tensor", Excerpt(tensor.name));
  if (tensor.chunked != nullptr) {
    CKPT_CHECK(out.size() == BoxBytes(tensor.dtype, box));
    ChunkReader reader(open_, window_.span(), tensor.chunked, box, out, large_);
    auto read = reader.Read();
    requested_bytes_ += reader.requested_bytes();
    return std::move(read).map_error(in_tensor);
  }
  for (const Piece& piece : tensor.pieces) {
    const bool is_whole_only = piece.byte_strides.empty();
    if (is_whole_only) CKPT_CHECK(box == WholeBox(tensor.shape));
    // A scalar, or rows that end inside a byte: bytes without axes.
    const Box bytes_box{{0}, {tensor.size_bytes}};
    const BoxRuns runs = is_whole_only ? BoxRuns(DType::kU8, bytes_box, {1}, bytes_box)
                                       : BoxRuns(tensor.dtype, piece.box, piece.byte_strides, box);
    auto read = ReadRuns(open_, window_.span(), piece.object, piece.offset_bytes, runs, out);
    if (!read) return Fail(in_tensor(std::move(read).error()));
    requested_bytes_ += *read;
  }
  if (!tensor.form.IsPlain()) ToPlain(tensor.dtype, tensor.form, out);
  return {};
}

Result<Crc32c> BoxReader::StoredCrc(const TensorEntry& tensor) {
  CKPT_CHECK(tensor.chunked != nullptr || IsContiguous(tensor));
  CKPT_TRY_VOID(TakeWindow(tensor));
  const auto in_tensor = Where("tensor", Excerpt(tensor.name));
  std::vector<StoredChunk> whole;
  if (tensor.chunked == nullptr)
    whole.push_back({tensor.pieces[0].object, tensor.pieces[0].offset_bytes, tensor.size_bytes});
  const std::vector<StoredChunk>& chunks =
      tensor.chunked != nullptr ? tensor.chunked->chunks : whole;
  CKPT_TRY(const Grant grant, budget_.Acquire(chunks.size() * kBytesPerChunk, stop_));
  std::vector<Crc32c> crcs(chunks.size());
  ReadBatch batch(open_, window_.span());
  const auto run = [&] {
    return batch.Run([&](uint64_t tag, std::span<const std::byte> bytes) -> Result<void> {
      crcs[tag].Append(bytes);
      return {};
    });
  };
  const uint64_t step = window_.size() / 4 - 2 * kIoAlignment;
  for (uint64_t number = 0; number < chunks.size(); ++number) {
    const StoredChunk& chunk = chunks[number];
    if (chunk.object == kInlineChunk) {
      crcs[number].Append(std::as_bytes(std::span(tensor.chunked->inline_bytes))
                              .subspan(chunk.offset, chunk.length));
      continue;
    }
    // Parts of one chunk are appended in the order of the batch, which is that of their offsets.
    for (uint64_t at = 0; at < chunk.length; at += step) {
      const ByteRange range{chunk.offset + at, chunk.offset + std::min(at + step, chunk.length)};
      if (batch.Add(chunk.object, range, number)) continue;
      CKPT_TRY_VOID(run().map_error(in_tensor));
      CKPT_CHECK(batch.Add(chunk.object, range, number));
    }
  }
  CKPT_TRY_VOID(run().map_error(in_tensor));
  requested_bytes_ += batch.requested_bytes();
  if (tensor.chunked == nullptr) return crcs[0];
  std::vector<std::vector<uint64_t>> orders;
  for (const uint64_t extent : ZarrGrid(tensor.chunked->meta).extents)
    orders.push_back(KeyOrder(extent));
  Crc32c sum;
  AppendInKeyOrder(orders, 0, 0, crcs, sum);
  return sum;
}

}  // namespace ckpt
