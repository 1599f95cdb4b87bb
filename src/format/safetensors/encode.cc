#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "base/endian.h"
#include "base/text.h"
#include "format/json/json.h"
#include "format/safetensors/header.h"

namespace ckpt::safetensors {
namespace {

constexpr size_t kAlignment = 8;  // of the data; the reference pads the JSON with spaces up to it

tl::unexpected<Error> Refuse(std::string what) {
  return Fail(Code::kCannotCreate, std::move(what),
              "this checkpoint cannot be written as safetensors");
}

Result<void> CheckSpec(const TensorSpec& tensor) {
  if (Info(tensor.dtype).is_gguf_block)
    return Refuse(fmt::format("safetensors has no dtype {}", Name(tensor.dtype)));
  if (tensor.name == "__metadata__") return Refuse("a tensor cannot be named __metadata__");
  if (FirstInvalidUtf8(tensor.name) != std::string_view::npos)
    return Refuse("a tensor name is not UTF-8");
  return {};
}

void AppendMetadata(std::string& json, const Metadata& metadata) {
  json += "\"__metadata__\":{";
  const char* comma = "";
  for (const auto& [key, value] : metadata) {
    json += comma;
    json::AppendString(json, key);
    json += ':';
    json::AppendString(json, value);
    comma = ",";
  }
  json += '}';
}

void AppendTensor(std::string& json, const Tensor& tensor) {
  json::AppendString(json, tensor.name);
  json += fmt::format(R"(:{{"dtype":"{}","shape":[)", Name(tensor.dtype));
  const char* comma = "";
  for (const uint64_t extent : tensor.shape.extents) {
    json += fmt::format("{}{}", comma, extent);
    comma = ",";
  }
  json += fmt::format(R"(],"data_offsets":[{},{}]}})", tensor.data.begin, tensor.data.end);
}

// Sorts as the reference does and gives each tensor its place.
Result<EncodedHeader> Place(std::vector<TensorSpec> specs) {
  std::sort(specs.begin(), specs.end(), [](const TensorSpec& a, const TensorSpec& b) {
    return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;
  });
  EncodedHeader header;
  for (TensorSpec& spec : specs) {
    CKPT_TRY_VOID(CheckSpec(spec).map_error(Where("tensor", Excerpt(spec.name))));
    auto size_bytes = TensorBytes(spec.dtype, spec.shape);
    const auto end = size_bytes ? CheckedAdd(header.data_bytes, *size_bytes) : std::nullopt;
    if (!end)
      return Refuse(size_bytes ? "the tensors have more than 2^64 bytes" : size_bytes.error().what);
    header.tensors.push_back(
        {std::move(spec.name), spec.dtype, std::move(spec.shape), {header.data_bytes, *end}});
    header.data_bytes = *end;
  }
  return header;
}

Result<void> CheckNamesDiffer(const std::vector<TensorSpec>& specs) {
  std::vector<std::string_view> names;
  names.reserve(specs.size());
  for (const TensorSpec& spec : specs) names.push_back(spec.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end())
    return Refuse(fmt::format("tensor \"{}\" appears twice", Excerpt(*twice)));
  return {};
}

}  // namespace

Result<EncodedHeader> EncodeHeader(std::vector<TensorSpec> tensors,
                                   const std::optional<Metadata>& metadata) {
  CKPT_TRY_VOID(CheckNamesDiffer(tensors));
  CKPT_TRY(EncodedHeader header, Place(std::move(tensors)));

  std::string json = "{";
  if (metadata) AppendMetadata(json, *metadata);
  for (const Tensor& tensor : header.tensors) {
    if (json.size() > 1) json += ',';
    AppendTensor(json, tensor);
  }
  json += '}';
  json.resize(RoundUp(json.size(), kAlignment), ' ');
  if (json.size() > kMaxHeaderBytes)
    return Refuse(
        fmt::format("the header would have {} bytes, over {}", json.size(), kMaxHeaderBytes));

  AppendLittleEndian(header.bytes, json.size(), kLengthBytes);
  header.bytes += json;
  return header;
}

}  // namespace ckpt::safetensors
