#include "source/torch/file.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/units.h"
#include "format/kind/kind.h"
#include "source/reading.h"
#include "source/torch/parts.h"

namespace ckpt {
namespace {

// A read of a cold store costs as much as this many bytes, or more.
constexpr uint64_t kMostGapBytes = 64 * kKiB;
constexpr uint64_t kMostReadBytes = kMiB;
constexpr uint64_t kMostValueBytes = 64 * kMiB;
// A tar header says so here.
constexpr uint64_t kTarMagicAt = 257;
constexpr std::string_view kTarMagic = "ustar";

tl::unexpected<Error> NoTorchFile(std::string_view front, FileKind kind) {
  Error error{Code::kBadInput, {}, {}, {{"byte", "0"}}, "name a file that torch.save wrote"};
  if (const KindWords words = Words(kind); !words.what.empty()) {
    error.what = fmt::format("not a PyTorch file but {}", words.what);
    error.remedy = words.remedy;
  } else if (front.empty()) {
    error.what = "the file is empty";
    error.remedy = "fetch it again";
  } else if (front.size() > kTarMagicAt && front.substr(kTarMagicAt).starts_with(kTarMagic)) {
    error.what = "a tar archive: PyTorch's form before 0.1.10";
    error.remedy = "load it in PyTorch and re-save it with torch.save";
  } else {
    error.what = "not a PyTorch file";
  }
  return Fail(std::move(error));
}

Result<TorchFile> Read(Store& store, const ObjectInfo& file, uint32_t object,
                       MemoryBudget& budget) {
  CKPT_TRY(const std::unique_ptr<ObjectReader> reader, store.Open(file));
  std::string front;
  CKPT_TRY_VOID(AppendRange(*reader, {0, std::min<uint64_t>(file.size_bytes, 512)}, front));
  const FileKind kind = PeekFileKind(std::string_view(front).substr(0, kKindBytes));
  if (kind == FileKind::kTorchZip) return ReadTorchZip(*reader, object, budget);
  if (kind == FileKind::kTorchPickle) return ReadTorchLegacy(*reader, object, budget);
  return NoTorchFile(front, kind);
}

}  // namespace

Result<TorchFile> ReadTorchFile(Store& store, const ObjectInfo& file, uint32_t object,
                                MemoryBudget& budget) {
  return Read(store, file, object, budget).map_error(InFile(store, file.name));
}

uint64_t PickleMemoryBytes(const MemoryBudget& budget) {
  return std::min(kMostValueBytes, budget.limit_bytes() / 4);
}

Result<void> ReadSmallRanges(
    ObjectReader& reader, std::span<const ByteRange> ranges,
    const std::function<Result<void>(size_t number, std::string_view bytes)>& visit) {
  std::string bytes;
  for (size_t first = 0; first < ranges.size();) {
    const uint64_t begin = ranges[first].begin;
    uint64_t end = ranges[first].end;
    size_t last = first + 1;
    while (last < ranges.size() && ranges[last].begin <= end + kMostGapBytes &&
           ranges[last].end - begin <= kMostReadBytes)
      end = std::max(end, ranges[last++].end);
    bytes.clear();
    CKPT_TRY_VOID(AppendRange(reader, {begin, end}, bytes));
    for (; first < last; ++first)
      CKPT_TRY_VOID(visit(first, std::string_view(bytes).substr(ranges[first].begin - begin,
                                                                ranges[first].size())));
  }
  return {};
}

TensorEntry ToEntry(pickle::Tensor tensor, uint32_t object, uint64_t storage_begin,
                    bool is_big_endian) {
  const uint64_t size_bytes =
      TensorBytes(tensor.dtype, tensor.shape).value_or(0);  // checked by the decoder
  const uint64_t begin = storage_begin + tensor.offset_bytes;
  TensorEntry entry = ContiguousEntry(std::move(tensor.name), tensor.dtype, std::move(tensor.shape),
                                      object, {begin, begin});
  entry.size_bytes = size_bytes;
  entry.pieces.front().byte_strides = std::move(tensor.byte_strides);
  const bool has_order = ElementBytes(tensor.dtype) > 1;
  entry.form = {is_big_endian && has_order, tensor.is_conjugated, tensor.is_negated};
  return entry;
}

}  // namespace ckpt
