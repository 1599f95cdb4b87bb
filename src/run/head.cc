#include "run/head.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "base/check.h"
#include "base/checked.h"
#include "run/record_reader.h"

namespace ckpt {
namespace {

// Appends bytes to a range through one buffer, so that it leaves in large aligned writes.
class RangeWriter {
 public:
  RangeWriter(const PlacedFile& file, ByteRange segment, std::span<std::byte> buffer)
      : segment_(*file.writer, segment, file.base), buffer_(buffer) {}

  Result<void> Append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      // segment_ stands at a multiple of the block size between flushes, so the buffer's start is
      // congruent.
      const size_t count = std::min(bytes.size(), Room() - filled_);
      std::memcpy(buffer_.data() + Lead() + filled_, bytes.data(), count);
      filled_ += count;
      bytes = bytes.subspan(count);
      if (filled_ == Room()) CKPT_TRY_VOID(Flush());
    }
    return {};
  }

  Result<std::vector<SideValue>> Finish() {
    CKPT_TRY_VOID(Flush());
    return segment_.Finish();
  }

  uint64_t next_offset() const { return segment_.next_offset() + filled_; }

 private:
  uint64_t Lead() const { return segment_.next_offset() % kIoAlignment; }
  size_t Room() const { return buffer_.size() - kIoAlignment; }
  Result<void> Flush() {
    const size_t count = std::exchange(filled_, 0);
    return segment_.Write(buffer_.subspan(Lead(), count)).get();
  }

  SegmentWriter segment_;
  std::span<std::byte> buffer_;
  size_t filled_ = 0;
};

// The bundles that made rows of each array of one file that has scales, by offset.
std::map<size_t, std::vector<uint32_t>> MakersOf(const Plan& plan, size_t file) {
  std::map<size_t, std::vector<uint32_t>> makers;
  const auto add = [&](const Bundle& bundle) {
    if (bundle.file != file) return;
    for (const RowSpan& span : bundle.spans) {
      for (const auto& side :
           {plan.arrays[span.array].scales, plan.arrays[span.array].zero_points}) {
        if (!side) continue;
        std::vector<uint32_t>& list = makers[*side];
        if (list.empty() || list.back() != bundle.number) list.push_back(bundle.number);
      }
    }
  };
  add(plan.front);
  for (const Bundle& bundle : plan.bundles) add(bundle);
  return makers;
}

Result<void> AppendSides(const Plan& plan, size_t array, std::span<const uint32_t> makers,
                         RecordReader& records, RangeWriter& range) {
  const uint64_t begin = plan.arrays[array].offset;
  const uint64_t end = begin + plan.arrays[array].size_bytes;
  for (const uint32_t number : makers) {
    CKPT_TRY(const BundleRecord* record, records.Get(number));
    for (const SideValue& side : record->sides) {
      // One value may run over the scales of arrays that follow one another.
      const uint64_t first = std::max(begin, side.file_offset);
      const uint64_t last = std::min<uint64_t>(end, side.file_offset + side.bytes.size());
      if (first >= last) continue;
      CKPT_CHECK(first == range.next_offset());
      CKPT_TRY_VOID(
          range.Append(std::span(side.bytes).subspan(first - side.file_offset, last - first)));
    }
  }
  return {};
}

// Puts ragged pieces that share a block together and writes each block once.
class RaggedWriter {
 public:
  RaggedWriter(const PlacedFile& file, std::span<std::byte> block) : file_(file), block_(block) {}

  // Pieces come by ascending offset.
  Result<void> Add(uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const uint64_t start = RoundDown(offset, kIoAlignment);
      if (filled_ > begin_ && start != start_) CKPT_TRY_VOID(Flush());
      if (filled_ == begin_) {
        start_ = start;
        begin_ = filled_ = offset - start;
      }
      CKPT_CHECK(start_ + filled_ == offset);
      const size_t count = std::min<uint64_t>(bytes.size(), kIoAlignment - filled_);
      std::memcpy(block_.data() + filled_, bytes.data(), count);
      filled_ += count;
      offset += count;
      bytes = bytes.subspan(count);
    }
    return {};
  }

  Result<void> Flush() {
    if (filled_ == begin_) return {};
    const std::span<std::byte> bytes = block_.subspan(begin_, filled_ - begin_);
    const uint64_t offset = start_ + begin_;
    begin_ = filled_ = 0;
    return file_.writer->WriteAt(offset - file_.base, bytes).get();
  }

 private:
  const PlacedFile file_;
  std::span<std::byte> block_;
  uint64_t start_ = 0;  // offset of the block
  uint64_t begin_ = 0;  // filled part of it
  uint64_t filled_ = 0;
};

// Segments of a file that end inside a block, with what shares it: those of the committer at hand,
// bundles' in their records.
Result<void> WriteRagged(const RunContext& context, const PlacedFile& file, Lane& lane,
                         const Journal& journal, size_t index,
                         std::map<uint64_t, std::vector<SideValue>> ends) {
  std::map<uint64_t, uint32_t> bundles;  // by where they begin
  const auto add = [&](const Bundle& bundle) {
    if (bundle.file == index && !bundle.segment.empty())
      bundles.emplace(bundle.segment.begin, bundle.number);
  };
  add(context.plan.front);
  for (const Bundle& bundle : context.plan.bundles) add(bundle);
  RaggedWriter ragged(file, lane.spare_buffer().first(kIoAlignment));
  const auto put = [&](const SideValue& side) { return ragged.Add(side.file_offset, side.bytes); };
  auto end = ends.begin();
  const auto put_ends_before = [&](uint64_t offset) -> Result<void> {
    for (; end != ends.end() && end->first < offset; ++end) {
      for (const SideValue& side : end->second) CKPT_TRY_VOID(put(side));
    }
    return {};
  };
  for (const auto& [begin, number] : bundles) {
    CKPT_TRY_VOID(put_ends_before(begin));
    const ByteRange& segment =
        number == 0 ? context.plan.front.segment : context.plan.bundles[number - 1].segment;
    CKPT_TRY(const BundleRecord record, journal.Get(number));
    for (const SideValue& side : record.sides) {
      const bool is_inside = side.file_offset >= segment.begin && side.file_offset < segment.end;
      if (is_inside) CKPT_TRY_VOID(put(side));
    }
  }
  CKPT_TRY_VOID(put_ends_before(UINT64_MAX));
  return ragged.Flush();
}

// What the committer writes of one file.
class RangeMaker {
 public:
  RangeMaker(const RunContext& context, PlacedFile file, Lane& lane, const Journal* journal,
             size_t index)
      : context_(context), file_(file), lane_(lane), index_(index) {
    if (journal == nullptr) return;
    records_.emplace(*journal);
    makers_ = MakersOf(context.plan, index);
  }

  // Returns the ragged ends of the range.
  Result<std::vector<SideValue>> Make(const CommitRange& range) {
    RangeWriter writer(file_, range.segment, lane_.spare_buffer());
    ExpectMakersOf(range);
    if (range.segment.begin == file_.base) {
      const std::string& header = context_.plan.output.files[index_].header;
      context_.progress.written_bytes += header.size();
      CKPT_TRY_VOID(writer.Append(std::as_bytes(std::span(header))));
    }
    for (const size_t array : range.arrays) {
      const ArraySpec& spec = context_.plan.output.arrays[array];
      if (spec.encoding == Encoding::kConstant) {
        CKPT_TRY_VOID(writer.Append(TakeConstant(array)));
      } else if (!HasRows(spec.encoding)) {
        const auto made = makers_.find(array);
        if (made != makers_.end())
          CKPT_TRY_VOID(AppendSides(context_.plan, array, made->second, *records_, writer));
      } else {
        CKPT_TRY_VOID(StreamArray(
            array, [&](std::span<const std::byte> bytes) { return writer.Append(bytes); }));
      }
    }
    CKPT_CHECK(writer.next_offset() == range.segment.end);
    return writer.Finish();
  }

  // All but the side values, which are in their place already.
  Result<void> MakeRest(const CommitRange& range) {
    if (range.segment.begin == file_.base) {
      const std::string& header = context_.plan.output.files[index_].header;
      context_.progress.written_bytes += header.size();
      CKPT_TRY_VOID(file_.writer->WriteAt(0, std::as_bytes(std::span(header))).get());
    }
    for (const size_t array : range.arrays) {
      const Encoding encoding = context_.plan.output.arrays[array].encoding;
      uint64_t offset = context_.plan.arrays[array].offset - file_.base;
      if (encoding == Encoding::kConstant)
        CKPT_TRY_VOID(file_.writer->WriteAt(offset, TakeConstant(array)).get());
      if (!HasRows(encoding)) continue;
      CKPT_TRY_VOID(StreamArray(array, [&](std::span<const std::byte> bytes) {
        return file_.writer->WriteAt(std::exchange(offset, offset + bytes.size()), bytes).get();
      }));
    }
    return {};
  }

  std::vector<ArrayPart> TakeParts() { return std::move(parts_); }

 private:
  void ExpectMakersOf(const CommitRange& range) {
    std::vector<uint32_t> numbers;
    for (const size_t array : range.arrays) {
      if (const auto made = makers_.find(array); made != makers_.end())
        numbers.insert(numbers.end(), made->second.begin(), made->second.end());
    }
    records_->Expect(std::move(numbers));
  }

  std::span<const std::byte> TakeConstant(size_t array) {
    const auto bytes = std::as_bytes(std::span(context_.plan.output.arrays[array].constant));
    parts_.push_back({static_cast<uint32_t>(array), 0, Crc32c::Of(bytes)});
    context_.progress.written_bytes += bytes.size();
    return bytes;
  }

  Result<void> StreamArray(size_t array,
                           const std::function<Result<void>(std::span<const std::byte>)>& take) {
    Crc32c crc;
    Result<void> done = lane_.StreamRows({array, 0, context_.plan.arrays[array].rows.n_rows},
                                         [&](std::span<const std::byte> bytes) {
                                           crc.Append(bytes);
                                           context_.progress.written_bytes += bytes.size();
                                           return take(bytes);
                                         });
    parts_.push_back({static_cast<uint32_t>(array), 0, crc});
    return done;
  }

  const RunContext& context_;
  const PlacedFile file_;
  Lane& lane_;
  const size_t index_;
  std::optional<RecordReader> records_;
  std::map<size_t, std::vector<uint32_t>> makers_;
  std::vector<ArrayPart> parts_;
};

}  // namespace

Result<void> WriteCommitRanges(const RunContext& context, PositionedWriter& writer, size_t file,
                               Lane& lane, const Journal* journal) {
  const Plan& plan = context.plan;
  const PlacedFile placed{&writer, plan.output.files[file].base};
  RangeMaker maker(context, placed, lane, journal, file);
  std::map<uint64_t, std::vector<SideValue>> ends;  // by where their ranges begin
  for (const CommitRange& range : plan.commits) {
    if (range.file != file) continue;
    if (journal == nullptr) {
      CKPT_TRY_VOID(maker.MakeRest(range));
    } else {
      CKPT_TRY(ends[range.segment.begin], maker.Make(range));
    }
  }
  // Where any range will do, nothing is ragged.
  if (journal != nullptr && writer.alignment() > 1)
    CKPT_TRY_VOID(WriteRagged(context, placed, lane, *journal, file, std::move(ends)));
  context.records.AddParts(maker.TakeParts());
  return {};
}

}  // namespace ckpt
