#include "run/chunked_front.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "base/check.h"
#include "base/checked.h"
#include "base/crc32c.h"
#include "run/record_reader.h"

namespace ckpt {
namespace {

// The bundles that made the values of each array of scales, ascending.
std::map<size_t, std::vector<uint32_t>> MakersOf(const ChunkedPlan& plan, size_t output) {
  std::map<size_t, std::vector<uint32_t>> makers;
  for (const ChunkedBundle& bundle : plan.bundles) {
    for (const BandSpan& span : bundle.spans) {
      for (const Product& product : plan.works[span.work].products) {
        for (const SliceRef& ref : product.slices) {
          const ChunkedArray& array =
              plan.outputs[ref.output].arrays[plan.outputs[ref.output].slices[ref.slice].array];
          if (ref.output != output || array.making != ChunkMaking::kQuantize) continue;
          std::vector<uint32_t>& list = makers[array.scales];
          if (list.empty() || list.back() != bundle.number) list.push_back(bundle.number);
        }
      }
    }
  }
  return makers;
}

class FrontWriter {
 public:
  FrontWriter(const ChunkedContext& context, size_t output, BundleRecord& record)
      : context_(context),
        index_(output),
        output_(context.plan.outputs[output]),
        record_(record),
        makers_(MakersOf(context.plan, output)) {
    if (context.records.journal() != nullptr) journal_.emplace(*context.records.journal());
  }

  Result<void> Run() {
    const std::vector<FrontChunk>& front = context_.plan.front[index_];
    if (front.empty()) return {};
    ExpectMakersOf(front);
    if (!output_.is_object_per_chunk) {
      const std::string name =
          Below(context_.folders[index_], context_.target.DataFileName(context_.plan, index_, 0));
      CKPT_TRY(file_, context_.destination.Create(name, OwnObject(context_.plan)));
    }
    for (const FrontChunk& chunk : front) {
      CKPT_TRY(const std::vector<std::byte> elements, ElementsOf(chunk.array));
      CKPT_TRY_VOID(Write(chunk, elements));
    }
    if (!file_) return {};
    // Whole blocks, as in every data file.
    if (output_.codec != ChunkCodec::kZstd) CKPT_TRY_VOID(PadTo(context_.plan.front_bytes[index_]));
    CKPT_TRY_VOID(file_->Commit());
    return {};
  }

 private:
  Result<std::vector<std::byte>> ElementsOf(size_t array) {
    const ChunkedArray& spec = output_.arrays[array];
    const uint64_t bytes = Shape{spec.chunk}.Elements().value_or(0) * ElementBytes(spec.dtype);
    std::vector<std::byte> elements(bytes);
    if (spec.making == ChunkMaking::kConstant) {
      CKPT_CHECK(spec.bytes.size() == bytes);
      std::memcpy(elements.data(), spec.bytes.data(), bytes);
      return elements;
    }
    uint64_t filled = 0;
    for (const uint32_t number : makers_[array]) {
      CKPT_TRY(const BundleRecord* record, Record(number));
      for (const SideValue& side : record->sides) {
        if (side.output != index_ || side.array != array) continue;
        CKPT_CHECK(side.file_offset + side.bytes.size() <= bytes);
        std::memcpy(elements.data() + side.file_offset, side.bytes.data(), side.bytes.size());
        filled += side.bytes.size();
      }
    }
    CKPT_CHECK(filled == bytes);
    return elements;
  }

  void ExpectMakersOf(const std::vector<FrontChunk>& front) {
    if (!journal_) return;
    std::vector<uint32_t> numbers;
    for (const FrontChunk& chunk : front) {
      if (const auto made = makers_.find(chunk.array); made != makers_.end())
        numbers.insert(numbers.end(), made->second.begin(), made->second.end());
    }
    journal_->Expect(std::move(numbers));
  }

  Result<const BundleRecord*> Record(uint32_t number) {
    if (journal_) return journal_->Get(number);
    CKPT_TRY(kept_, context_.records.Get(number));
    return &kept_;
  }

  Result<void> Write(const FrontChunk& chunk, std::vector<std::byte> stored) {
    if (output_.codec == ChunkCodec::kZstd) {
      std::vector<std::byte> packed(context_.target.PackedBound(stored.size()));
      CKPT_TRY(const uint64_t size, context_.target.Pack(stored, packed));
      packed.resize(size);
      stored = std::move(packed);
    } else if (output_.codec == ChunkCodec::kCrc32c) {
      const uint32_t crc = Crc32c::Of(stored).value();
      for (size_t b = 0; b < sizeof(crc); ++b)
        stored.push_back(static_cast<std::byte>(crc >> (8 * b)));
    }
    uint64_t offset = 0;
    if (output_.is_object_per_chunk) {
      CKPT_TRY(const std::unique_ptr<ObjectWriter> object,
               context_.destination.Create(
                   Below(context_.folders[index_],
                         context_.target.ChunkObjectName(output_, chunk.array, 0)),
                   OwnObject(context_.plan)));
      CKPT_TRY_VOID(object->Append(stored));
      CKPT_TRY_VOID(object->Commit());
    } else {
      if (output_.codec != ChunkCodec::kZstd) CKPT_TRY_VOID(PadTo(chunk.offset));
      offset = written_;
      CKPT_TRY_VOID(file_->Append(stored));
      written_ += stored.size();
    }
    record_.chunks.push_back({static_cast<uint32_t>(index_), static_cast<uint32_t>(chunk.array), 0,
                              offset, static_cast<uint32_t>(stored.size()),
                              Crc32c::Of(stored).value()});
    context_.progress.written_bytes += stored.size();
    return {};
  }

  Result<void> PadTo(uint64_t offset) {
    static constexpr std::array<std::byte, kChunkAlignment> zeros{};
    CKPT_CHECK(offset >= written_ && offset - written_ < kChunkAlignment);
    CKPT_TRY_VOID(file_->Append(std::span(zeros).first(offset - written_)));
    context_.progress.written_bytes += offset - written_;
    written_ = offset;
    return {};
  }

  const ChunkedContext& context_;
  const size_t index_;
  const ChunkedOutput& output_;
  BundleRecord& record_;
  std::map<size_t, std::vector<uint32_t>> makers_;
  std::optional<RecordReader> journal_;  // where there is one
  BundleRecord kept_;                    // else
  std::unique_ptr<ObjectWriter> file_;
  uint64_t written_ = 0;
};

}  // namespace

Result<void> WriteFronts(const ChunkedContext& context) {
  // Once an output is committed, the front is recorded with all outputs' chunks.
  const bool is_recorded = std::any_of(context.folders.begin(), context.folders.end(),
                                       [](const std::string& folder) { return folder.empty(); });
  if (is_recorded) return {};
  BundleRecord record;  // number 0
  for (size_t o = 0; o < context.plan.outputs.size(); ++o)
    CKPT_TRY_VOID(FrontWriter(context, o, record).Run());
  return context.records.Put(std::move(record));
}

}  // namespace ckpt
