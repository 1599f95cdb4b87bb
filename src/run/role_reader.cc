#include "run/role_reader.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "base/index.h"
#include "base/text.h"
#include "kernel/convert.h"
#include "run/laid_box.h"
#include "source/box_runs.h"

namespace ckpt {
namespace {

// The part of a tensor that holds a box of its role.
struct StoredBox {
  const TensorEntry* tensor = nullptr;
  Box box;               // of whole blocks
  uint64_t skipped = 0;  // elements of its last axis before the role's first
  std::vector<size_t> source_axes;
};

StoredBox FindStored(const Catalog& catalog, const BoundRole& bound, const RoleBox& role_box) {
  StoredBox found;
  const size_t tensor =
      bound.parts_axis ? bound.parts[role_box.begin[*bound.parts_axis]] : bound.tensor;
  found.tensor = &catalog.tensors[tensor];
  found.source_axes = SourceAxes(bound.view);
  found.box = TensorBox(bound, found.source_axes, role_box);
  const uint64_t block = Info(found.tensor->dtype).block_elements;
  if (block > 1 && !found.box.begin.empty()) {
    const uint64_t begin = found.box.begin.back();
    found.box.begin.back() = RoundDown(begin, block);
    found.box.end.back() = RoundUp(found.box.end.back(), block);
    found.skipped = begin - found.box.begin.back();
  }
  return found;
}

std::vector<uint64_t> BoxExtents(std::span<const uint64_t> begin, std::span<const uint64_t> end) {
  std::vector<uint64_t> extents;
  for (size_t k = 0; k < begin.size(); ++k) extents.push_back(end[k] - begin[k]);
  return extents;
}

uint64_t CountOf(std::span<const uint64_t> extents) {
  return std::accumulate(extents.begin(), extents.end(), uint64_t{1}, std::multiplies<>());
}

// Whether the box's elements lie in the dense box of the tensor as they do in the role.
bool IsAsLaid(const BoundRole& bound, const StoredBox& stored, const RoleBox& role_box) {
  const std::vector<uint64_t> whole = RowMajor(bound.view.tensor.extents);
  const std::vector<uint64_t> dense = RowMajor(BoxExtents(stored.box.begin, stored.box.end));
  const std::vector<uint64_t> extents = BoxExtents(role_box.begin, role_box.end);
  const std::vector<uint64_t> wanted = RowMajor(extents);
  for (size_t k = 0; k < extents.size(); ++k) {
    const size_t axis = stored.source_axes[k];
    if (extents[k] > 1 && bound.view.strides[k] / whole[axis] * dense[axis] != wanted[k])
      return false;
  }
  return true;
}

// The bytes of the object that are the box, where it is one run of a plain tensor.
std::optional<ByteRange> OneRun(const StoredBox& stored) {
  const TensorEntry& tensor = *stored.tensor;
  if (!IsContiguous(tensor) || !tensor.form.IsPlain()) return std::nullopt;
  const Piece& piece = tensor.pieces.front();
  const DTypeInfo& info = Info(tensor.dtype);
  bool is_inside = false;  // an axis of which there is a part: all further ones are whole
  for (size_t a = 0; a < tensor.shape.rank(); ++a) {
    const uint64_t extent = stored.box.end[a] - stored.box.begin[a];
    if (is_inside && extent != tensor.shape[a]) return std::nullopt;
    is_inside = is_inside || extent > 1;
  }
  const std::vector<uint64_t> strides = RowMajor(tensor.shape.extents);
  uint64_t first = 0;
  for (size_t a = 0; a < strides.size(); ++a) first += stored.box.begin[a] * strides[a];
  const uint64_t begin = piece.offset_bytes + first / info.block_elements * info.block_bytes;
  return ByteRange{begin, begin + BoxBytes(tensor.dtype, stored.box)};
}

}  // namespace

DType LaidType(const Catalog& catalog, const BoundRole& bound) {
  const DType stored = catalog.tensors[bound.tensor].dtype;
  return Info(stored).block_elements > 1 ? DType::kF32 : stored;
}

uint64_t RoleBoxBytes(const Catalog& catalog, const BoundRole& bound, const RoleBox& box) {
  StoredBox stored = FindStored(catalog, bound, box);
  const DTypeInfo& info = Info(stored.tensor->dtype);
  // Another box of these extents may touch one block more.
  if (info.block_elements > 1 && !stored.box.end.empty()) {
    const uint64_t axis = stored.tensor->shape.extents.back();
    const uint64_t extent = stored.box.end.back() - stored.box.begin.back();
    stored.box.begin.back() = 0;
    stored.box.end.back() = std::min(axis, extent + info.block_elements);
  }
  const uint64_t laid = ElementBytes(LaidType(catalog, bound));
  const uint64_t elements = CountOf(BoxExtents(stored.box.begin, stored.box.end));
  return std::max(BoxBytes(stored.tensor->dtype, stored.box), elements * laid) + 2 * kIoAlignment;
}

uint64_t TouchedBytes(const Catalog& catalog, const BoundRole& bound, const RoleBox& box) {
  const StoredBox stored = FindStored(catalog, bound, box);
  return TouchedBytes(*stored.tensor, stored.box);
}

RoleReader::RoleReader(const Catalog& catalog, ReaderPool& pool, MemoryBudget& windows,
                       std::stop_token stop, std::array<std::span<std::byte>, 2> buffers)
    : catalog_(catalog),
      pool_(pool),
      buffers_(buffers),
      boxes_(pool.Opener(), windows, std::move(stop)) {}

RoleReader::~RoleReader() {
  if (read_.valid()) read_.wait();
}

Result<void> RoleReader::Start(const BoundRole& bound, const RoleBox& box) {
  CKPT_CHECK(!read_.valid());
  CKPT_CHECK(RoleBoxBytes(catalog_, bound, box) <= buffers_[0].size());
  bound_ = &bound;
  box_ = box;
  const StoredBox stored = FindStored(catalog_, bound, box);
  const std::optional<ByteRange> run = OneRun(stored);
  if (!run) return {};
  CKPT_TRY(reader_, pool_.Get(stored.tensor->pieces.front().object));
  read_ = reader_->ReadWindow(*run, buffers_[0]);
  read_at_ = buffers_[0].data() + run->begin % kIoAlignment;
  requested_bytes_ += run->size();
  return {};
}

Result<const std::byte*> RoleReader::Finish() {
  const StoredBox stored = FindStored(catalog_, *bound_, box_);
  const auto in_tensor = Where("tensor", Excerpt(stored.tensor->name));
  if (read_.valid()) {
    Result<void> done = read_.get();
    reader_.reset();
    if (!done) return Fail(in_tensor(std::move(done).error()));
    return Lay(read_at_);
  }
  const std::span<std::byte> into = buffers_[0].first(BoxBytes(stored.tensor->dtype, stored.box));
  CKPT_TRY_VOID(boxes_.Read(*stored.tensor, stored.box, into).map_error(in_tensor));
  return Lay(into.data());
}

// Elements of the tensor's order, which lie in the first buffer, into the role's.
Result<const std::byte*> RoleReader::Lay(const std::byte* read) {
  const StoredBox stored = FindStored(catalog_, *bound_, box_);
  const DType laid = LaidType(catalog_, *bound_);
  size_t other = 1;  // the buffer that is free
  if (laid != stored.tensor->dtype) {
    const ConvertFn convert = FindConvert(stored.tensor->dtype, laid);
    CKPT_CHECK(convert != nullptr);
    convert(read, buffers_[1].data(), CountOf(BoxExtents(stored.box.begin, stored.box.end)));
    read = buffers_[1].data();
    other = 0;
  }
  const uint32_t element_bytes = ElementBytes(laid);
  read += stored.skipped * element_bytes;
  if (IsAsLaid(*bound_, stored, box_)) return read;
  std::vector<size_t> order(box_.begin.size());
  std::iota(order.begin(), order.end(), size_t{0});
  LayBox(bound_->view, stored.source_axes, stored.box, box_, order, element_bytes, read,
         buffers_[other].data());
  return buffers_[other].data();
}

ElementPlace FindElement(const Catalog& catalog, const BoundRole& bound,
                         std::span<const uint64_t> index) {
  RoleBox one{{index.begin(), index.end()}, {}};
  for (const uint64_t i : index) one.end.push_back(i + 1);
  const std::vector<size_t> axes = SourceAxes(bound.view);
  const TensorEntry& tensor =
      catalog.tensors[bound.parts_axis ? bound.parts[index[*bound.parts_axis]] : bound.tensor];
  ElementPlace place{tensor.name, TensorBox(bound, axes, one).begin, ""};
  if (tensor.chunked != nullptr) {
    const ChunkedTensor& chunked = *tensor.chunked;
    uint64_t number = 0;
    for (size_t a = 0; a < tensor.shape.rank(); ++a)
      number =
          number * CeilDiv(tensor.shape[a], chunked.chunk[a]) + place.index[a] / chunked.chunk[a];
    const StoredChunk& chunk = chunked.chunks[number];
    if (chunk.object != kInlineChunk && chunk.length > 0)
      place.object = PrintObject(catalog, chunk.object);
    return place;
  }
  for (const Piece& piece : tensor.pieces) {
    bool is_inside = true;
    for (size_t a = 0; a < place.index.size(); ++a)
      is_inside =
          is_inside && piece.box.begin[a] <= place.index[a] && place.index[a] < piece.box.end[a];
    if (is_inside) place.object = PrintObject(catalog, piece.object);
  }
  return place;
}

}  // namespace ckpt
