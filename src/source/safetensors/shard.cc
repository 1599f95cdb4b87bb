#include "source/safetensors/shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/units.h"
#include "source/reading.h"

namespace ckpt {
namespace {

Result<SafetensorsShard> Read(Store& store, const ObjectInfo& object, MemoryBudget& budget) {
  CKPT_TRY(const std::unique_ptr<ObjectReader> reader, store.Open(object));
  const uint64_t first_bytes = std::min(object.size_bytes, kFirstReadBytes);
  CKPT_TRY(Grant grant, GrantNow(budget, first_bytes, "the beginning of the file"));
  std::string front;
  CKPT_TRY_VOID(AppendRange(*reader, {0, first_bytes}, front));

  CKPT_TRY(const uint64_t length, safetensors::DecodeHeaderLength(front, object.size_bytes));
  const uint64_t data_begin = safetensors::kLengthBytes + length;
  CKPT_TRY(const Grant parse_grant,
           GrantNow(budget, data_begin + length * safetensors::kDecodeBytesPerHeaderByte,
                    fmt::format("the header of {}", FormatBytes(length))));
  if (data_begin > front.size()) {
    front.reserve(data_begin);
    CKPT_TRY_VOID(AppendRange(*reader, {front.size(), data_begin}, front));
  }
  const std::string_view json = std::string_view(front).substr(safetensors::kLengthBytes, length);
  CKPT_TRY(safetensors::Header header, safetensors::DecodeHeader(json, object.size_bytes));
  return SafetensorsShard{std::move(header), data_begin};
}

}  // namespace

Result<SafetensorsShard> ReadShard(Store& store, const ObjectInfo& object, MemoryBudget& budget) {
  return Read(store, object, budget).map_error(InFile(store, object.name));
}

TensorEntry ShardEntry(safetensors::Tensor tensor, uint32_t object, uint64_t data_begin) {
  const ByteRange data{data_begin + tensor.data.begin, data_begin + tensor.data.end};
  return ContiguousEntry(std::move(tensor.name), tensor.dtype, std::move(tensor.shape), object,
                         data);
}

}  // namespace ckpt
