#include "run/scaled_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/text.h"
#include "store/store.h"

namespace ckpt {
namespace {

constexpr uint64_t kDefaultBlock = 128;
constexpr uint64_t kMxGroup = 32;  // elements with one scale
constexpr std::string_view kWeight = ".weight";

// The bytes of a tensor that lies in one piece, in C order.
std::optional<ByteRange> PlainRange(const TensorEntry& tensor) {
  if (tensor.chunked != nullptr || tensor.pieces.size() != 1 || !tensor.form.IsPlain())
    return std::nullopt;
  const Piece& piece = tensor.pieces.front();
  uint64_t stride = ElementBytes(tensor.dtype);
  for (size_t k = tensor.shape.rank(); k-- > 0;) {
    if (tensor.shape[k] > 1 && piece.byte_strides[k] != stride) return std::nullopt;
    stride *= tensor.shape[k];
  }
  return ByteRange{piece.offset_bytes, piece.offset_bytes + tensor.size_bytes};
}

bool IsScaleType(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF8E8M0 ||
         dtype == DType::kU8;
}

// The block that the configuration tells, rows and columns.
std::pair<uint64_t, uint64_t> BlockOf(const Catalog& catalog) {
  std::pair<uint64_t, uint64_t> block{kDefaultBlock, kDefaultBlock};
  for (const SourceConfig& config : catalog.configs) {
    for (const auto& [key, value] : config.values) {
      const bool is_block = key.find("weight_block_size.") != std::string::npos ||
                            key.find("weights.block_structure.") != std::string::npos;
      const auto* const number = std::get_if<int64_t>(&value);
      if (!key.starts_with("quantization_config.") || !is_block || number == nullptr || *number < 1)
        continue;
      if (key.ends_with(".0")) block.first = static_cast<uint64_t>(*number);
      if (key.ends_with(".1")) block.second = static_cast<uint64_t>(*number);
    }
  }
  return block;
}

class Taker {
 public:
  explicit Taker(Catalog& catalog) : catalog_(catalog), block_(BlockOf(catalog)) {
    for (size_t i = 0; i < catalog.tensors.size(); ++i) numbers_[catalog.tensors[i].name] = i;
  }

  Result<std::map<std::string, ScaledTensors>> Run() {
    for (size_t i = 0; i < catalog_.tensors.size(); ++i) CKPT_TRY_VOID(Look(i));
    if (taken_.empty()) return std::map<std::string, ScaledTensors>();
    DropActivationScales();
    return Replace();
  }

 private:
  const TensorEntry* Find(const std::string& name) const {
    const auto found = numbers_.find(name);
    return found == numbers_.end() ? nullptr : &catalog_.tensors[found->second];
  }

  Result<void> Look(size_t i) {
    const TensorEntry& tensor = catalog_.tensors[i];
    const std::string& name = tensor.name;
    if (tensor.dtype == DType::kF8E4M3 && name.ends_with(kWeight) && tensor.shape.rank() == 2) {
      for (const std::string_view suffix : {"_scale_inv", "_scale"}) {
        if (const TensorEntry* scales = Find(name + std::string(suffix)))
          return TakeE4M3(tensor, *scales);
      }
      return {};
    }
    if (tensor.dtype != DType::kU8) return {};
    const auto take = [&](std::string_view from, std::string_view scales,
                          std::string_view to) -> Result<void> {
      if (!name.ends_with(from)) return {};
      const std::string stem = name.substr(0, name.size() - from.size());
      const TensorEntry* found = Find(stem + std::string(scales));
      if (found == nullptr || found->dtype != DType::kU8) return {};
      return TakeMxfp4(tensor, *found, stem + std::string(to));
    };
    CKPT_TRY_VOID(take(".weight_packed", ".weight_scale", ".weight"));
    return take("_blocks", "_scales", "");
  }

  tl::unexpected<Error> Misfit(const TensorEntry& tensor, const TensorEntry& scales) const {
    Error error{Code::kBadInput,
                fmt::format("{} {} does not fit the scales {} {}", Name(tensor.dtype),
                            ToString(tensor.shape), Name(scales.dtype), ToString(scales.shape)),
                {},
                {},
                "the files are damaged, or quantized in a way that cannot be read: fetch them "
                "again, or convert from the original weights"};
    error.where.push_back({"tensor", tensor.name});
    return Fail(std::move(error));
  }

  Result<void> TakeE4M3(const TensorEntry& tensor, const TensorEntry& scales) {
    const std::optional<ByteRange> stored = PlainRange(tensor);
    if (!stored || !PlainRange(scales) || !IsScaleType(scales.dtype)) return Misfit(tensor, scales);
    ScaledTensor taken;
    taken.rows = tensor.shape[0];
    taken.row_elements = tensor.shape[1];
    uint64_t count = 1;
    for (const uint64_t extent : scales.shape.extents) count *= extent;
    const bool is_column =
        scales.shape.rank() == 1 || (scales.shape.rank() == 2 && scales.shape.extents.back() == 1);
    if (count == 1) {
      taken.block_rows = std::max<uint64_t>(1, taken.rows);
      taken.block_columns = std::max<uint64_t>(1, taken.row_elements);
    } else if (is_column && count == taken.rows) {
      taken.block_columns = std::max<uint64_t>(1, taken.row_elements);
    } else {
      std::tie(taken.block_rows, taken.block_columns) = block_;
      const Shape wanted{CeilDiv(taken.rows, taken.block_rows),
                         CeilDiv(taken.row_elements, taken.block_columns)};
      if (!(scales.shape == wanted)) return Misfit(tensor, scales);
    }
    return Take(std::move(taken), tensor, scales, tensor.name, tensor.shape, *stored);
  }

  Result<void> TakeMxfp4(const TensorEntry& tensor, const TensorEntry& scales, std::string name) {
    const std::optional<ByteRange> stored = PlainRange(tensor);
    if (!stored || !PlainRange(scales) || tensor.size_bytes != scales.size_bytes * kMxGroup / 2 ||
        tensor.shape.rank() < 2)
      return Misfit(tensor, scales);
    Shape shape = scales.shape;
    shape.extents.back() *= kMxGroup;
    ScaledTensor taken;
    taken.kind = ScaledTensor::Kind::kMxfp4;
    taken.row_elements = shape.extents.back();
    taken.rows = taken.row_elements == 0 ? 0 : scales.size_bytes * kMxGroup / taken.row_elements;
    return Take(std::move(taken), tensor, scales, std::move(name), std::move(shape), *stored);
  }

  Result<void> Take(ScaledTensor taken, const TensorEntry& tensor, const TensorEntry& scales,
                    std::string name, Shape shape, ByteRange stored) {
    taken.name = std::move(name);
    taken.stored_name = tensor.name;
    taken.stored = stored;
    taken.scales = scales;
    gone_.insert(tensor.name);
    gone_.insert(scales.name);
    const uint32_t object = tensor.pieces.front().object;
    taken_[object].emplace_back(std::move(taken), std::move(shape));
    return {};
  }

  void DropActivationScales() {
    size_t count = 0;
    for (const TensorEntry& tensor : catalog_.tensors) {
      const bool is_one = tensor.name.ends_with(".input_scale") ||
                          tensor.name.ends_with(".k_scale") || tensor.name.ends_with(".v_scale");
      if (is_one && gone_.insert(tensor.name).second) ++count;
    }
    if (count > 0)
      catalog_.warnings.push_back(fmt::format(
          "{} scales of activations or caches are left out: bf16 has no need of them", count));
  }

  Result<std::map<std::string, ScaledTensors>> Replace() {
    std::erase_if(catalog_.tensors,
                  [&](const TensorEntry& tensor) { return gone_.contains(tensor.name); });
    std::map<std::string, ScaledTensors> objects;
    uint64_t elements = 0;
    for (auto& [object, list] : taken_) {
      ObjectInfo info = catalog_.objects[object];
      info.generation.value += kScaledMark;
      info.crc32c.reset();
      const auto number = static_cast<uint32_t>(catalog_.objects.size());
      uint64_t next = 0;
      for (auto& [tensor, shape] : list) {
        tensor.begin = next;
        TensorEntry entry;
        entry.name = tensor.name;
        entry.dtype = DType::kBF16;
        entry.shape = shape;
        CKPT_TRY(entry.size_bytes, TensorBytes(entry.dtype, entry.shape));
        Piece piece;
        piece.box.begin.assign(shape.rank(), 0);
        piece.box.end = shape.extents;
        piece.object = number;
        piece.offset_bytes = next;
        piece.byte_strides.resize(shape.rank());
        uint64_t stride = 2;
        for (size_t k = shape.rank(); k-- > 0;) {
          piece.byte_strides[k] = stride;
          stride *= shape[k];
        }
        entry.pieces = {std::move(piece)};
        elements += entry.size_bytes / 2;
        next = RoundUp(next + entry.size_bytes, kIoAlignment);
        catalog_.tensors.push_back(std::move(entry));
        objects[info.name].push_back(std::move(tensor));
      }
      info.size_bytes = next;
      catalog_.objects.push_back(std::move(info));
    }
    std::sort(catalog_.tensors.begin(), catalog_.tensors.end(),
              [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; });
    catalog_.warnings.push_back(fmt::format(
        "{} weights ({} elements) are stored quantized: the output is made of what they "
        "dequantize to; bytes read count the bf16 that they become",
        gone_.size() / 2, elements));
    return objects;
  }

  Catalog& catalog_;
  const std::pair<uint64_t, uint64_t> block_;
  std::map<std::string_view, size_t> numbers_;
  std::map<uint32_t, std::vector<std::pair<ScaledTensor, Shape>>> taken_;  // by object
  std::set<std::string> gone_;
};

}  // namespace

Result<std::map<std::string, ScaledTensors>> TakeScaledTensors(Catalog& catalog) {
  return Taker(catalog).Run();
}

}  // namespace ckpt
