#include "source/gguf/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/buffer.h"
#include "base/text.h"
#include "base/units.h"
#include "format/gguf/header.h"
#include "source/reading.h"

namespace ckpt {
namespace {

// What a header may keep; 1,000 tensors and 100 keys take 300 KB.
constexpr uint64_t kMostHeaderMemory = 64 * kMiB;

Result<gguf::Header> ReadPart(Store& store, const ObjectInfo& object, MemoryBudget& budget) {
  CKPT_TRY(const std::unique_ptr<ObjectReader> reader, store.Open(object));
  CKPT_TRY(Grant window_grant, GrantNow(budget, kFirstReadBytes, "the window for the header"));
  CKPT_TRY(Buffer window, Buffer::Allocate(std::move(window_grant)));
  const uint64_t memory_bytes = std::min(kMostHeaderMemory, budget.limit_bytes() / 2);
  CKPT_TRY(const Grant grant, GrantNow(budget, memory_bytes, "the header"));
  return gguf::DecodeHeader(
      [&](ByteRange range, std::span<std::byte> into) { return reader->Read(range, into); },
      object.size_bytes, window.span(), memory_bytes);
}

ConfigValue ToConfigValue(const gguf::Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  if (const auto* number = std::get_if<int64_t>(&value)) return *number;
  if (const auto* real = std::get_if<double>(&value)) return *real;
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  const auto* skipped = std::get_if<gguf::Skipped>(&value);
  const uint64_t number = skipped != nullptr ? skipped->length : std::get<uint64_t>(value);
  if (number <= INT64_MAX) return static_cast<int64_t>(number);
  return static_cast<double>(number);
}

SourceConfig ToConfig(gguf::Header& header, const std::string& object) {
  SourceConfig config{"gguf", object, {}, {}};
  for (gguf::KeyValue& each : header.values) {
    const bool is_skipped = std::holds_alternative<gguf::Skipped>(each.value);
    config.values.emplace(std::move(each.key) + (is_skipped ? ".length" : ""),
                          ToConfigValue(each.value));
  }
  return config;
}

// Holds what part `number` (from 0) says of the set against the `count` files that there are.
Result<void> CheckSplit(const gguf::Header& header, size_t number, size_t count) {
  const auto said = gguf::FindUnsigned(header, "split.count");
  if (said.value_or(1) != count)
    return Result<void>(
               Fail(Code::kBadInput,
                    fmt::format(
                        "the file says that it is one of {} parts, its name that it is one of {}",
                        said.value_or(1), count),
                    "give the parts the names that they had, or fetch them again"))
        .map_error(Where("key", "split.count"));
  if (count == 1) return {};
  const auto said_number = gguf::FindUnsigned(header, "split.no");
  if (said_number != number)
    return Result<void>(
               Fail(Code::kBadInput,
                    fmt::format("the file says that it is part {} (from 0), its name that it is {}",
                                said_number ? std::to_string(*said_number) : "nothing", number),
                    "give the parts the names that they had, or fetch them again"))
        .map_error(Where("key", "split.no"));
  return {};
}

Result<void> CheckTensorCount(std::optional<uint64_t> said, size_t found) {
  if (!said || *said == found) return {};
  return Result<void>(Fail(Code::kBadInput,
                           fmt::format("the set says that it has {} tensors, its parts have {}",
                                       *said, found),
                           "the parts are not of one release: fetch all of them again"))
      .map_error(Where("key", "split.tensors.count"));
}

}  // namespace

Result<Catalog> ReadGguf(Store& store, std::vector<ObjectInfo> parts, MemoryBudget& budget) {
  Catalog catalog;
  catalog.format = "gguf";
  catalog.root = store.root();
  catalog.objects = std::move(parts);
  std::optional<uint64_t> tensors_said;
  for (uint32_t part = 0; part < catalog.objects.size(); ++part) {
    const ObjectInfo& object = catalog.objects[part];
    CKPT_TRY(gguf::Header header,
             ReadPart(store, object, budget).map_error(InFile(store, object.name)));
    CKPT_TRY_VOID(
        CheckSplit(header, part, catalog.objects.size()).map_error(InFile(store, object.name)));
    catalog.header_bytes += header.header_bytes;
    for (gguf::Tensor& tensor : header.tensors)
      catalog.tensors.push_back(ContiguousEntry(std::move(tensor.name), tensor.dtype,
                                                std::move(tensor.shape), part, tensor.data));
    if (part > 0) continue;
    tensors_said = gguf::FindUnsigned(header, "split.tensors.count");
    catalog.configs.push_back(ToConfig(header, std::string(BaseName(object.name))));
  }
  CKPT_TRY_VOID(CheckTensorCount(tensors_said, catalog.tensors.size())
                    .map_error(InFile(store, catalog.objects[0].name)));
  CKPT_TRY_VOID(SortTensors(catalog));
  return catalog;
}

}  // namespace ckpt
