#include "source/digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/buffer.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/message_digest.h"
#include "base/text.h"
#include "source/box_reader.h"
#include "source/box_runs.h"
#include "source/reader_pool.h"
#include "source/reading.h"

namespace ckpt {
namespace {

// A window may begin and end inside a block of the store's alignment.
constexpr uint64_t kEdgeBytes = 2 * kIoAlignment;

// A read of a chunk, and the buffer that it fills. The buffer outlives the future: members end in
// reverse order.
class Chunk {
 public:
  explicit Chunk(Buffer buffer) : buffer_(std::move(buffer)) {}
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;
  ~Chunk() {
    if (done_.valid()) done_.wait();  // nothing may write to the buffer after it is gone
  }

  void Start(ObjectReader& reader, ByteRange range) {
    range_ = range;
    done_ = reader.ReadWindow(range, buffer_.span());
  }
  Result<std::span<const std::byte>> Finish() {
    CKPT_TRY_VOID(done_.get());
    return std::span<const std::byte>(buffer_.span(range_.begin % kIoAlignment, range_.size()));
  }

 private:
  Buffer buffer_;
  ByteRange range_;
  IoFuture done_;
};

// Cuts a tensor into boxes that lie one after the other in C order: whole rows of one axis, at
// fixed indexes of those before it.
class Slabs {
 public:
  // At most `most_bytes` each, or one row of chunks where that is more and at most `limit_bytes`: a
  // chunk that is cut is read once for each part.
  Slabs(const TensorEntry& tensor, uint64_t most_bytes, uint64_t limit_bytes)
      : shape_(tensor.shape), index_(shape_.rank(), 0) {
    uint64_t row_bytes = tensor.size_bytes;
    for (axis_ = 0; axis_ < shape_.rank(); ++axis_) {
      row_bytes /= shape_[axis_];
      if (row_bytes <= limit_bytes) break;
    }
    if (axis_ == shape_.rank()) return;  // a scalar
    const uint64_t chunk_rows = tensor.chunked == nullptr ? 1 : tensor.chunked->chunk[axis_];
    rows_ = std::max<uint64_t>(1, std::max(most_bytes, row_bytes) / row_bytes);
    if (rows_ < chunk_rows) rows_ = std::min(chunk_rows, limit_bytes / row_bytes);
    if (rows_ > chunk_rows) rows_ -= rows_ % chunk_rows;
    rows_ = std::min(rows_, shape_[axis_]);
    slab_bytes_ = rows_ * row_bytes;
  }
  uint64_t slab_bytes() const { return slab_bytes_; }

  bool Next(Box& box) {
    if (is_over_) return false;
    box.begin.assign(shape_.rank(), 0);
    box.end = shape_.extents;
    for (size_t axis = 0; axis < std::min(axis_ + 1, shape_.rank()); ++axis) {
      box.begin[axis] = index_[axis];
      const uint64_t rows = axis == axis_ ? rows_ : 1;
      box.end[axis] = std::min(index_[axis] + rows, shape_[axis]);
    }
    is_over_ = true;
    for (size_t axis = std::min(axis_ + 1, shape_.rank()); axis-- > 0;) {
      index_[axis] += axis == axis_ ? rows_ : 1;
      if (index_[axis] < shape_[axis]) {
        is_over_ = false;
        break;
      }
      index_[axis] = 0;
    }
    return true;
  }

 private:
  const Shape& shape_;
  size_t axis_ = 0;
  uint64_t rows_ = 1;
  uint64_t slab_bytes_ = 0;
  std::vector<uint64_t> index_;
  bool is_over_ = false;
};

}  // namespace

Result<void> TensorStream::StreamBoxes(const TensorEntry& tensor, const Visit& visit) {
  if (tensor.size_bytes == 0) return {};
  Slabs slabs(tensor, buffer_bytes_, std::max(buffer_bytes_, budget_.limit_bytes() / 4));
  const uint64_t slab_bytes = std::max<uint64_t>(slabs.slab_bytes(), ElementBytes(tensor.dtype));
  CKPT_TRY(Grant grant, GrantNow(budget_, slab_bytes, "reading a tensor"));
  CKPT_TRY(Buffer slab, Buffer::Allocate(std::move(grant)));
  {
    // The reader waits for its window; where nobody else gives memory back, that would be for ever.
    CKPT_TRY(const Grant window,
             GrantNow(budget_, BoxWindowBytes(tensor, budget_.limit_bytes()), "reading chunks"));
  }
  ReaderPool pool(store_, catalog_);
  BoxReader reader(pool.Opener(), budget_);
  for (Box box; slabs.Next(box);) {
    const std::span<std::byte> elements = slab.span(0, BoxBytes(tensor.dtype, box));
    CKPT_TRY_VOID(reader.Read(tensor, box, elements));
    CKPT_TRY_VOID(visit(elements));
  }
  return {};
}

Result<void> TensorStream::Open(uint32_t object) {
  if (reader_ && open_object_ == object) return {};
  CKPT_TRY(reader_, store_.Open(catalog_.objects[object]));
  open_object_ = object;
  return {};
}

Result<void> TensorStream::Stream(const TensorEntry& tensor, const Visit& visit) {
  const Piece& piece = tensor.pieces.front();
  CKPT_TRY_VOID(Open(piece.object));

  const uint64_t block_bytes = Info(tensor.dtype).block_bytes;
  const uint64_t window_bytes =
      std::min(buffer_bytes_, RoundUp(tensor.size_bytes, kIoAlignment) + kEdgeBytes);
  const uint64_t chunk_bytes = RoundDown(window_bytes - kEdgeBytes, block_bytes);
  const auto make = [&]() -> Result<Buffer> {
    CKPT_TRY(Grant grant, GrantNow(budget_, window_bytes, "reading a tensor"));
    return Buffer::Allocate(std::move(grant));
  };
  CKPT_TRY(Buffer first, make());
  CKPT_TRY(Buffer second, make());
  std::array<Chunk, 2> chunks{Chunk(std::move(first)), Chunk(std::move(second))};

  const auto range = [&](uint64_t begin) {
    return ByteRange{piece.offset_bytes + begin,
                     piece.offset_bytes + std::min(begin + chunk_bytes, tensor.size_bytes)};
  };
  if (tensor.size_bytes > 0) chunks[0].Start(*reader_, range(0));
  size_t turn = 0;
  for (uint64_t begin = 0; begin < tensor.size_bytes; begin += chunk_bytes, turn ^= 1U) {
    CKPT_TRY(const std::span<const std::byte> bytes, chunks[turn].Finish());
    if (const uint64_t next = begin + chunk_bytes; next < tensor.size_bytes)
      chunks[turn ^ 1U].Start(*reader_, range(next));
    CKPT_TRY_VOID(visit(bytes));
  }
  return {};
}

Result<void> TensorStream::ForEachChunk(const TensorEntry& tensor, const Visit& visit) {
  if (!IsContiguous(tensor) || !tensor.form.IsPlain()) return StreamBoxes(tensor, visit);
  auto streamed = Stream(tensor, visit);
  if (streamed) return streamed;
  const ObjectInfo& object = catalog_.objects[tensor.pieces.front().object];
  return std::move(streamed)
      .map_error(Where("tensor", Excerpt(tensor.name)))
      .map_error(InFile(store_, object.name));
}

Result<std::string> TensorStream::Sha256(const TensorEntry& tensor) {
  ckpt::Sha256 sha;
  CKPT_TRY_VOID(ForEachChunk(tensor, [&](std::span<const std::byte> bytes) -> Result<void> {
    sha.Update(bytes);
    return {};
  }));
  return sha.Finish();
}

Result<std::string> TensorSha256(Store& store, const Catalog& catalog, const TensorEntry& tensor,
                                 MemoryBudget& budget) {
  return TensorStream(store, catalog, budget).Sha256(tensor);
}

}  // namespace ckpt
