#include "run/head.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "base/check.h"
#include "base/checked.h"

namespace ckpt {
namespace {

// Appends bytes to the head through one buffer, so that it leaves in large aligned writes.
class HeadWriter {
 public:
  HeadWriter(PositionedWriter& writer, ByteRange segment, std::span<std::byte> buffer)
      : segment_(writer, segment), buffer_(buffer) {}

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

// The bundles that made rows of each array that has scales, in file order.
std::map<size_t, std::vector<uint32_t>> MakersOf(const Plan& plan) {
  std::map<size_t, std::vector<uint32_t>> makers;
  const auto add = [&](const Bundle& bundle) {
    for (const RowSpan& span : bundle.spans) {
      if (!plan.arrays[span.array].scales) continue;
      std::vector<uint32_t>& list = makers[*plan.arrays[span.array].scales];
      if (list.empty() || list.back() != bundle.number) list.push_back(bundle.number);
    }
  };
  add(plan.front);
  for (const Bundle& bundle : plan.bundles) add(bundle);
  return makers;
}

// Reads records back one at a time; neighbours in the head mostly come from one bundle.
class RecordReader {
 public:
  explicit RecordReader(const Journal& journal) : journal_(journal) {}
  Result<const BundleRecord*> Get(uint32_t number) {
    if (!last_ || last_->number != number) {
      last_.reset();
      CKPT_TRY(last_, journal_.Get(number));
    }
    return &*last_;
  }

 private:
  const Journal& journal_;
  std::optional<BundleRecord> last_;
};

Result<void> AppendScales(const Plan& plan, size_t array, std::span<const uint32_t> makers,
                          RecordReader& records, HeadWriter& head) {
  const uint64_t begin = plan.arrays[array].offset;
  const uint64_t end = begin + plan.arrays[array].size_bytes;
  for (const uint32_t number : makers) {
    CKPT_TRY(const BundleRecord* record, records.Get(number));
    for (const SideValue& side : record->sides) {
      // One value may run over the scales of arrays that follow one another.
      const uint64_t first = std::max(begin, side.file_offset);
      const uint64_t last = std::min<uint64_t>(end, side.file_offset + side.bytes.size());
      if (first >= last) continue;
      CKPT_CHECK(first == head.next_offset());
      CKPT_TRY_VOID(
          head.Append(std::span(side.bytes).subspan(first - side.file_offset, last - first)));
    }
  }
  return {};
}

// Puts ragged pieces that share a block together and writes each block once.
class RaggedWriter {
 public:
  RaggedWriter(PositionedWriter& writer, std::span<std::byte> block)
      : writer_(writer), block_(block) {}

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
    return writer_.WriteAt(offset, bytes).get();
  }

 private:
  PositionedWriter& writer_;
  std::span<std::byte> block_;
  uint64_t start_ = 0;  // file offset of the block
  uint64_t begin_ = 0;  // filled part of it
  uint64_t filled_ = 0;
};

Result<void> WriteRagged(const RunContext& context, Lane& lane, const Journal& journal,
                         std::span<const SideValue> head_ends) {
  RaggedWriter ragged(context.writer, lane.spare_buffer().first(kIoAlignment));
  for (const SideValue& side : head_ends) CKPT_TRY_VOID(ragged.Add(side.file_offset, side.bytes));
  for (uint32_t number = 0; number <= context.plan.bundles.size(); ++number) {
    CKPT_TRY(const BundleRecord record, journal.Get(number));
    for (const SideValue& side : record.sides) {
      if (side.file_offset >= context.plan.head_end)
        CKPT_TRY_VOID(ragged.Add(side.file_offset, side.bytes));
    }
  }
  return ragged.Flush();
}

}  // namespace

Result<void> WriteHeadAndRagged(const RunContext& context, Lane& lane, const Journal* journal) {
  const Plan& plan = context.plan;
  const std::span<const std::byte> header = std::as_bytes(std::span(plan.output.file.header));
  BundleRecord parts;  // only its parts: what the head holds needs no record
  const auto stream_array =
      [&](size_t array, const std::function<Result<void>(std::span<const std::byte>)>& take) {
        Crc32c crc;
        Result<void> done = lane.StreamRows({array, 0, plan.arrays[array].rows.n_rows},
                                            [&](std::span<const std::byte> bytes) {
                                              crc.Append(bytes);
                                              context.progress.written_bytes += bytes.size();
                                              return take(bytes);
                                            });
        parts.parts.push_back({static_cast<uint32_t>(array), 0, crc});
        return done;
      };

  context.progress.written_bytes += header.size();
  if (journal == nullptr) {
    CKPT_TRY_VOID(context.writer.WriteAt(0, header).get());
    for (const size_t array : plan.head_arrays) {
      if (plan.output.arrays[array].encoding == Encoding::kScales) continue;
      uint64_t offset = plan.arrays[array].offset;
      CKPT_TRY_VOID(stream_array(array, [&](std::span<const std::byte> bytes) {
        return context.writer.WriteAt(std::exchange(offset, offset + bytes.size()), bytes).get();
      }));
    }
  } else {
    HeadWriter head(context.writer, {0, plan.head_end}, lane.spare_buffer());
    RecordReader records(*journal);
    const std::map<size_t, std::vector<uint32_t>> makers = MakersOf(plan);
    CKPT_TRY_VOID(head.Append(header));
    for (const size_t array : plan.head_arrays) {
      if (plan.output.arrays[array].encoding == Encoding::kScales) {
        const auto made = makers.find(array);
        if (made != makers.end())
          CKPT_TRY_VOID(AppendScales(plan, array, made->second, records, head));
      } else {
        CKPT_TRY_VOID(stream_array(
            array, [&](std::span<const std::byte> bytes) { return head.Append(bytes); }));
      }
    }
    CKPT_CHECK(head.next_offset() == plan.head_end);
    CKPT_TRY(const std::vector<SideValue> ends, head.Finish());
    // Where any range will do, nothing is ragged.
    if (context.writer.alignment() > 1) CKPT_TRY_VOID(WriteRagged(context, lane, *journal, ends));
  }
  context.records.AddParts(parts.parts);
  return {};
}

}  // namespace ckpt
