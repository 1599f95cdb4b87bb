#include "format/gguf/header.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/checked.h"
#include "base/text.h"
#include "format/gguf/layout.h"
#include "format/gguf/values.h"
#include "format/kind/kind.h"

namespace ckpt::gguf {
namespace {

constexpr std::string_view kDamaged = "the file is damaged: fetch it again";
constexpr std::string_view kDamagedOrNew =
    "the file is damaged or newer than this program: fetch it again, or update ckpt";

// The smallest that one can be in the file: lengths and fields, with empty texts.
constexpr uint64_t kMinKeyValueBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;

Result<void> Refuse(std::string what) {
  return Fail(Code::kBadInput, std::move(what), std::string(kDamaged));
}

constexpr uint64_t kMagicBytes = 4;
constexpr std::string_view kAlignmentKey = "general.alignment";

class Decoder {
 public:
  Decoder(const ReadBytes& read, uint64_t file_bytes, std::span<std::byte> window,
          uint64_t memory_bytes)
      : in_(read, std::min(file_bytes, kMaxHeaderBytes), window),
        file_bytes_(file_bytes),
        memory_(memory_bytes) {}

  Result<Header> Decode() {
    CKPT_TRY_VOID(Magic());
    CKPT_TRY_VOID(Version());
    CKPT_TRY(const uint64_t tensors, in_.U64());
    CKPT_TRY(const uint64_t values, in_.U64());
    CKPT_TRY_VOID(Counts(tensors, values));
    for (uint64_t i = 0; i < values; ++i) CKPT_TRY_VOID(ReadKeyValue());
    CKPT_TRY_VOID(CheckAlignmentKeysDiffer());
    CKPT_TRY_VOID(Alignment());
    for (uint64_t i = 0; i < tensors; ++i) CKPT_TRY_VOID(ReadTensor());
    header_.header_bytes = in_.position();
    header_.data_begin = RoundUp(header_.header_bytes, header_.alignment);
    CKPT_TRY_VOID(memory_.Keep(header_.tensors.size() * sizeof(void*)));
    CKPT_TRY_VOID(PlaceTensors(header_, file_bytes_));
    return std::move(header_);
  }

 private:
  Result<void> Magic() {
    CKPT_TRY(std::string front, in_.Text(std::min(file_bytes_, kMagicBytes)));
    if (front == "GGUF") return {};
    CKPT_TRY(const std::string more,
             in_.Text(std::min<uint64_t>(in_.bytes_left(), kKindBytes - front.size())));
    front += more;
    const KindWords words = Words(PeekFileKind(front));
    if (!words.what.empty())
      return Damaged(0, fmt::format("not a GGUF file but {}", words.what), words.remedy);
    return Damaged(0,
                   fmt::format(R"(not a GGUF file: it begins with "{}", not "GGUF")",
                               Excerpt(front.substr(0, 4), 4)),
                   "name a GGUF or safetensors file; if it should be one, fetch it again");
  }

  Result<void> Version() {
    const uint64_t at = in_.position();
    CKPT_TRY(header_.version, in_.U32());
    const uint32_t version = header_.version;
    if (version == 2 || version == 3) return {};
    if (version == 1)
      return Damaged(at, "GGUF version 1 (32-bit counts) is not supported",
                     "convert it again with a present llama.cpp, or name a newer release");
    if (version != 0 && (version & 0xffffU) == 0)
      return Damaged(at, fmt::format("a big-endian GGUF file (version {:#x})", version),
                     "name its little-endian release");
    return Damaged(at, fmt::format("GGUF version {} is unknown, 2 and 3 are read", version),
                   kDamagedOrNew);
  }

  Result<void> Counts(uint64_t tensors, uint64_t values) {
    const auto check = [&](std::string_view what, uint64_t count,
                           uint64_t min_bytes) -> Result<void> {
      const uint64_t left = in_.bytes_left();
      if (count <= left / min_bytes) return {};
      return Damaged(
          in_.position(),
          fmt::format("the header says {} {}, which cannot fit in the {} bytes that follow", count,
                      what, left),
          "the download is incomplete or the file damaged: fetch it again");
    };
    CKPT_TRY_VOID(check("keys", values, kMinKeyValueBytes));
    return check("tensors", tensors, kMinTensorBytes);
  }

  Result<void> ReadKeyValue() {
    // A vector that grows holds its old form and a doubled one.
    CKPT_TRY_VOID(memory_.Keep(3 * sizeof(KeyValue)));
    CKPT_TRY(std::string key, ReadName(in_, memory_, "a key"));
    auto value = ReadValue(in_, memory_);
    if (!value) return Fail(Where("key", Excerpt(key))(std::move(value).error()));
    header_.values.push_back({std::move(key), *std::move(value)});
    return {};
  }

  Result<void> CheckAlignmentKeysDiffer() {
    std::vector<std::string_view> keys;
    CKPT_TRY_VOID(memory_.Keep(header_.values.size() * sizeof(std::string_view)));
    keys.reserve(header_.values.size());
    for (const KeyValue& each : header_.values) keys.push_back(each.key);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice == keys.end()) return {};
    return Refuse("this key appears twice").map_error(Where("key", Excerpt(*twice)));
  }

  Result<void> Alignment() {
    for (const KeyValue& each : header_.values) {
      if (each.key != kAlignmentKey) continue;
      const auto* value = std::get_if<uint64_t>(&each.value);
      if (value == nullptr)
        return Refuse("the alignment is no unsigned integer")
            .map_error(Where("key", std::string(kAlignmentKey)));
      if (!std::has_single_bit(*value) || *value > UINT32_MAX)
        return Refuse(fmt::format("the alignment {} is no power of two", *value))
            .map_error(Where("key", std::string(kAlignmentKey)));
      header_.alignment = *value;
    }
    return {};
  }

  Result<void> ReadTensor() {
    CKPT_TRY_VOID(memory_.Keep(3 * sizeof(Tensor) + kMaxDimensions * sizeof(uint64_t)));
    Tensor tensor;
    CKPT_TRY(tensor.name, ReadName(in_, memory_, "a tensor name"));
    auto rest = ReadTensorFields(tensor);
    if (!rest) return std::move(rest).map_error(Where("tensor", Excerpt(tensor.name)));
    header_.tensors.push_back(std::move(tensor));
    return {};
  }

  Result<void> ReadTensorFields(Tensor& tensor) {
    const uint64_t at = in_.position();
    CKPT_TRY(const uint32_t dimensions, in_.U32());
    if (dimensions > kMaxDimensions)
      return Damaged(
          at, fmt::format("{} dimensions, at most {} are allowed", dimensions, kMaxDimensions));
    for (uint32_t i = 0; i < dimensions; ++i) {
      CKPT_TRY(const uint64_t extent, in_.U64());
      tensor.shape.extents.push_back(extent);
    }
    std::reverse(tensor.shape.extents.begin(), tensor.shape.extents.end());
    const uint64_t at_type = in_.position();
    CKPT_TRY(const uint32_t type, in_.U32());
    const auto dtype = GgmlDType(type);
    if (!dtype) return UnknownType(at_type, type);
    tensor.dtype = *dtype;
    auto size_bytes = TensorBytes(tensor.dtype, tensor.shape);
    if (!size_bytes) return Damaged(at, std::move(size_bytes.error().what));
    const uint64_t at_offset = in_.position();
    CKPT_TRY(const uint64_t offset, in_.U64());
    if (offset % header_.alignment != 0)
      return Damaged(at_offset, fmt::format("offset {} is no multiple of the alignment {}", offset,
                                            header_.alignment));
    auto data = ByteRange::OfLength(offset, *size_bytes);
    if (!data) return Damaged(at_offset, std::move(data.error().what));
    tensor.data = *data;
    return {};
  }

  static Result<void> UnknownType(uint64_t at, uint32_t type) {
    const bool is_removed =
        type == 4 || type == 5 || (type >= 31 && type <= 33) || (type >= 36 && type <= 38);
    if (is_removed)
      return Damaged(at, fmt::format("ggml type {} was removed from the format", type),
                     "convert it again with a present llama.cpp, or name a newer release");
    return Damaged(at, fmt::format("ggml type {} is unknown", type), kDamagedOrNew);
  }

  WindowReader in_;
  const uint64_t file_bytes_;
  MemoryLeft memory_;
  Header header_;
};

}  // namespace

Result<Header> DecodeHeader(const ReadBytes& read, uint64_t file_bytes, std::span<std::byte> window,
                            uint64_t memory_bytes) {
  return Decoder(read, file_bytes, window, memory_bytes).Decode();
}

std::optional<uint64_t> FindUnsigned(const Header& header, std::string_view key) {
  for (const KeyValue& each : header.values) {
    if (each.key != key) continue;
    if (const auto* value = std::get_if<uint64_t>(&each.value)) return *value;
    if (const auto* value = std::get_if<int64_t>(&each.value); value != nullptr && *value >= 0)
      return static_cast<uint64_t>(*value);
  }
  return std::nullopt;
}

}  // namespace ckpt::gguf
