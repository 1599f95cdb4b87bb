#include "run/scaled_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <future>
#include <list>
#include <map>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "base/float.h"
#include "kernel/scaled_float.h"
#include "run/scaled_tensors.h"

namespace ckpt {
namespace {

using Scales = std::shared_ptr<const std::vector<float>>;

// Tensors whose scales are in memory at one time: those of the tiles under way.
constexpr size_t kMostKept = 64;
// Dequantized at once: of a stack buffer.
constexpr uint64_t kStep = 4096;
// Elements at a range's end whose bytes are copied aside before the front is spread over them. More
// than what alignment may cost at both ends, by two steps.
constexpr uint64_t kTail = 4 * kIoAlignment + 2 * kStep;

float ScaleAt(DType dtype, const std::byte* at) {
  if (dtype == DType::kF32) {
    float value = 0;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }
  if (dtype == DType::kBF16) {
    BF16 value;
    std::memcpy(&value.bits, at, sizeof(value.bits));
    return ToF32(value);
  }
  return E8M0ToF32(static_cast<uint8_t>(*at));
}

// Shared by the readers of a store: the scales of the tensors that were read last.
class ScaleTable {
 public:
  ScaleTable(Store& inner, std::vector<ObjectInfo> objects)
      : inner_(inner), objects_(std::move(objects)) {}

  Result<Scales> Get(const ScaledTensor& tensor) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(kept_.begin(), kept_.end(),
                                    [&](const auto& one) { return one.first == &tensor; });
    if (found != kept_.end()) {
      kept_.splice(kept_.begin(), kept_, found);
      return kept_.front().second;
    }
    CKPT_TRY(Scales scales, Load(tensor.scales));
    kept_.emplace_front(&tensor, scales);
    if (kept_.size() > kMostKept) kept_.pop_back();
    return scales;
  }

 private:
  Result<Scales> Load(const TensorEntry& entry) {
    const Piece& piece = entry.pieces.front();
    CKPT_TRY(const std::unique_ptr<ObjectReader> reader, inner_.Open(objects_[piece.object]));
    std::vector<std::byte> bytes(entry.size_bytes);
    CKPT_TRY_VOID(reader->Read({piece.offset_bytes, piece.offset_bytes + bytes.size()}, bytes)
                      .map_error(Where("tensor", entry.name)));
    const uint64_t element = ElementBytes(entry.dtype);
    auto scales = std::make_shared<std::vector<float>>(bytes.size() / element);
    for (size_t i = 0; i < scales->size(); ++i)
      (*scales)[i] = ScaleAt(entry.dtype, &bytes[i * element]);
    return Scales(std::move(scales));
  }

  Store& inner_;
  const std::vector<ObjectInfo> objects_;  // the catalog's, by number
  std::mutex mutex_;
  std::list<std::pair<const ScaledTensor*, Scales>> kept_;
};

tl::unexpected<Error> FailNan(const ScaledTensor& tensor, uint64_t element, const char* what) {
  Error error{Code::kBadInput,
              fmt::format("{} at index [{}, {}]", what, element / tensor.row_elements,
                          element % tensor.row_elements),
              {},
              {},
              "the weights are damaged: fetch them again"};
  error.where.push_back({"tensor", tensor.stored_name});
  return Fail(std::move(error));
}

// Spreads E4M3 bytes, which may be those right before `out`'s end, over bf16.
class Spreader {
 public:
  Spreader(const ScaledTensor& tensor, const std::vector<float>& scales, std::byte* out)
      : tensor_(tensor),
        scales_(scales),
        scale_columns_(CeilDiv(tensor.row_elements, tensor.block_columns)),
        out_(out) {}

  // `count` elements from number `first` of the tensor on; they follow those of the call before.
  Result<void> Spread(const std::byte* from, uint64_t first, uint64_t count) {
    std::array<uint8_t, kStep> step;
    while (count > 0) {
      const uint64_t row = first / tensor_.row_elements;
      const uint64_t column = first % tensor_.row_elements;
      uint64_t run = std::min({count, kStep, tensor_.row_elements - column});
      // A run begins at a block's border, or ends at the next.
      if (const uint64_t inside = column % tensor_.block_columns; inside != 0)
        run = std::min(run, tensor_.block_columns - inside);
      std::memcpy(step.data(), from, run);
      if (const size_t nan = FindNanE4M3(step.data(), run); nan < run)
        return FailNan(tensor_, first + nan, "NaN");
      const float* scales =
          &scales_[row / tensor_.block_rows * scale_columns_ + column / tensor_.block_columns];
      DequantizeE4M3(step.data(), run, scales, tensor_.block_columns,
                     reinterpret_cast<BF16*>(out_));
      out_ += run * sizeof(BF16);
      from += run;
      first += run;
      count -= run;
    }
    return {};
  }

 private:
  const ScaledTensor& tensor_;
  const std::vector<float>& scales_;
  const uint64_t scale_columns_;
  std::byte* out_;
};

// An object of the bf16 tensors that another's weights stand for.
class ScaledReader final : public ObjectReader {
 public:
  ScaledReader(ObjectInfo info, const ScaledTensors& tensors, std::unique_ptr<ObjectReader> inner,
               Store& inner_store, const std::vector<ObjectInfo>& objects, ScaleTable& scales)
      : info_(std::move(info)),
        tensors_(tensors),
        inner_(std::move(inner)),
        inner_store_(inner_store),
        objects_(objects),
        scales_(scales) {}

  const ObjectInfo& info() const override { return info_; }

  IoFuture ReadWindow(ByteRange range, std::span<std::byte> window) override {
    const std::span<std::byte> out = window.subspan(range.begin % kIoAlignment, range.size());
    const ScaledTensor* tensor = Holder(range);
    if (tensor == nullptr || tensor->kind != ScaledTensor::Kind::kE4M3 || range.size() < 4 * kTail)
      return std::async(std::launch::deferred, [this, range, out] { return Read(range, out); });
    // The stored bytes are read into the window's end while others are worked on, and spread from
    // there once they are asked for.
    const uint64_t first = (range.begin - tensor->begin) / 2;
    const uint64_t count = range.size() / 2;
    const uint64_t begin = tensor->stored.begin + first;
    const ByteRange stored{begin, begin + count};
    const uint64_t aligned = AlignOutward(stored, kIoAlignment).size();
    const uint64_t place = RoundDown(window.size() - aligned, kIoAlignment);
    IoFuture reading = inner_->ReadWindow(stored, window.subspan(place, aligned));
    const std::byte* bytes = window.data() + place + begin % kIoAlignment;
    return std::async(std::launch::deferred,
                      [this, tensor, first, count, out, bytes,
                       reading = std::move(reading)]() mutable -> Result<void> {
                        CKPT_TRY_VOID(reading.get());
                        CKPT_TRY(const Scales scales, scales_.Get(*tensor));
                        std::array<std::byte, kTail> tail;
                        std::memcpy(tail.data(), bytes + count - kTail, kTail);
                        Spreader spreader(*tensor, *scales, out.data());
                        CKPT_TRY_VOID(spreader.Spread(bytes, first, count - kTail));
                        return spreader.Spread(tail.data(), first + count - kTail, kTail);
                      });
  }

  Result<void> Read(ByteRange range, std::span<std::byte> into) override {
    while (!range.empty()) {
      const ScaledTensor* tensor = Holder({range.begin, range.begin + 1});
      if (tensor == nullptr) {  // between two of them, where nothing is
        const uint64_t gap =
            std::min(range.size(), RoundUp(range.begin + 1, kIoAlignment) - range.begin);
        std::memset(into.data(), 0, gap);
        range.begin += gap;
        into = into.subspan(gap);
        continue;
      }
      const uint64_t end = std::min(range.end, tensor->range().end);
      const uint64_t first = (range.begin - tensor->begin) / 2;
      const uint64_t count = (end - range.begin) / 2;
      CKPT_CHECK((range.begin - tensor->begin) % 2 == 0 && (end - range.begin) % 2 == 0);
      CKPT_TRY_VOID(tensor->kind == ScaledTensor::Kind::kE4M3
                        ? ReadE4M3(*tensor, first, count, into)
                        : ReadMxfp4(*tensor, first, count, into));
      into = into.subspan(end - range.begin);
      range.begin = end;
    }
    return {};
  }

 private:
  // The tensor that holds all of a range.
  const ScaledTensor* Holder(ByteRange range) const {
    const auto after = std::upper_bound(
        tensors_.begin(), tensors_.end(), range.begin,
        [](uint64_t at, const ScaledTensor& tensor) { return at < tensor.range().end; });
    return after != tensors_.end() && after->range().Contains(range) ? &*after : nullptr;
  }

  Result<void> ReadE4M3(const ScaledTensor& tensor, uint64_t first, uint64_t count,
                        std::span<std::byte> into) {
    CKPT_TRY(const Scales scales, scales_.Get(tensor));
    Spreader spreader(tensor, *scales, into.data());
    std::array<std::byte, kTail> bytes;
    for (uint64_t done = 0; done < count;) {
      const uint64_t step = std::min(kTail, count - done);
      const uint64_t at = tensor.stored.begin + first + done;
      CKPT_TRY_VOID(inner_->Read({at, at + step}, std::span(bytes).first(step)));
      CKPT_TRY_VOID(spreader.Spread(bytes.data(), first + done, step));
      done += step;
    }
    return {};
  }

  Result<void> ReadMxfp4(const ScaledTensor& tensor, uint64_t first, uint64_t count,
                         std::span<std::byte> into) {
    constexpr uint64_t blocks_at_once = 512;
    std::array<uint8_t, blocks_at_once * kMxBlock / 2> blocks;
    std::array<uint8_t, blocks_at_once> powers;
    std::array<BF16, blocks_at_once * kMxBlock> values;
    const Piece& scales = tensor.scales.pieces.front();
    CKPT_TRY(const std::unique_ptr<ObjectReader> scale_reader,
             inner_store_.Open(objects_[scales.object]));
    const uint64_t end = first + count;
    for (uint64_t at = first; at < end;) {
      const uint64_t block = at / kMxBlock;
      const uint64_t n = std::min(blocks_at_once, CeilDiv(end, kMxBlock) - block);
      const uint64_t stored = tensor.stored.begin + block * kMxBlock / 2;
      CKPT_TRY_VOID(
          inner_->Read({stored, stored + n * kMxBlock / 2},
                       std::as_writable_bytes(std::span(blocks).first(n * kMxBlock / 2))));
      const uint64_t scale = scales.offset_bytes + block;
      CKPT_TRY_VOID(scale_reader->Read({scale, scale + n},
                                       std::as_writable_bytes(std::span(powers).first(n))));
      if (const size_t nan = FindNanE8M0(powers.data(), n); nan < n)
        return FailNan(tensor, (block + nan) * kMxBlock, "a scale that is NaN");
      DequantizeMxfp4(blocks.data(), powers.data(), n, values.data());
      const uint64_t from = at - block * kMxBlock;
      const uint64_t run = std::min(end - at, n * kMxBlock - from);
      std::memcpy(into.data(), &values[from], run * sizeof(BF16));
      into = into.subspan(run * sizeof(BF16));
      at += run;
    }
    return {};
  }

  const ObjectInfo info_;
  const ScaledTensors& tensors_;
  const std::unique_ptr<ObjectReader> inner_;
  Store& inner_store_;
  const std::vector<ObjectInfo>& objects_;
  ScaleTable& scales_;
};

// A source only: what is written goes past it.
class ScaledStore final : public Store {
 public:
  ScaledStore(std::shared_ptr<Store> inner, std::vector<ObjectInfo> objects,
              std::map<std::string, ScaledTensors> tensors)
      : inner_(std::move(inner)),
        objects_(std::move(objects)),
        tensors_(std::move(tensors)),
        scales_(*inner_, objects_) {
    for (const auto& [name, list] : tensors_) {
      for (const ScaledTensor& tensor : list) {
        if (tensor.kind != ScaledTensor::Kind::kE4M3) continue;
        const uint64_t count = tensor.scales.size_bytes / ElementBytes(tensor.scales.dtype);
        most_scale_bytes_ =
            std::max(most_scale_bytes_, tensor.scales.size_bytes + count * sizeof(float));
      }
    }
  }

  const Uri& root() const override { return inner_->root(); }
  bool KeepsObjects() const override { return inner_->KeepsObjects(); }
  uint64_t held_bytes() const override {
    return inner_->held_bytes() + kMostKept * most_scale_bytes_;
  }
  Result<std::vector<ObjectInfo>> List(std::string_view prefix, std::stop_token stop) override {
    return inner_->List(prefix, std::move(stop));
  }
  Result<ObjectInfo> Stat(std::string_view name) override { return inner_->Stat(name); }
  Result<std::string> ReadWhole(std::string_view name, uint64_t limit_bytes) override {
    return inner_->ReadWhole(name, limit_bytes);
  }
  Result<std::unique_ptr<ObjectReader>> Open(const ObjectInfo& info) override {
    const std::string& generation = info.generation.value;
    if (!generation.ends_with(kScaledMark)) return inner_->Open(info);
    const auto tensors = tensors_.find(info.name);
    CKPT_CHECK(tensors != tensors_.end());
    const auto real = std::find_if(objects_.begin(), objects_.end(), [&](const ObjectInfo& one) {
      return one.name == info.name && generation == one.generation.value + std::string(kScaledMark);
    });
    CKPT_CHECK(real != objects_.end());
    CKPT_TRY(std::unique_ptr<ObjectReader> inner, inner_->Open(*real));
    return std::make_unique<ScaledReader>(info, tensors->second, std::move(inner), *inner_,
                                          objects_, scales_);
  }
  Result<std::unique_ptr<ObjectWriter>> Create(std::string_view name,
                                               CreateOptions options) override {
    return inner_->Create(name, std::move(options));
  }
  Result<std::unique_ptr<PositionedWriter>> CreatePositioned(std::string_view name,
                                                             uint64_t size_bytes,
                                                             CreateOptions options) override {
    return inner_->CreatePositioned(name, size_bytes, std::move(options));
  }
  Result<void> Remove(std::string_view name) override { return inner_->Remove(name); }

 private:
  const std::shared_ptr<Store> inner_;
  const std::vector<ObjectInfo> objects_;  // of the catalog as it was
  const std::map<std::string, ScaledTensors> tensors_;
  ScaleTable scales_;
  uint64_t most_scale_bytes_ = 0;
};

}  // namespace

Result<void> ReadScaledAsBF16(std::shared_ptr<Store>& store, Catalog& catalog) {
  std::vector<ObjectInfo> objects = catalog.objects;
  CKPT_TRY(auto tensors, TakeScaledTensors(catalog));
  if (!tensors.empty())
    store = std::make_shared<ScaledStore>(std::move(store), std::move(objects), std::move(tensors));
  return {};
}

}  // namespace ckpt
