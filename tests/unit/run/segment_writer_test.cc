#include "run/segment_writer.h"

#include <gtest/gtest.h>

#include <map>

#include "base/buffer.h"

namespace ckpt {
namespace {

// Remembers what was written where; holds each write to whole blocks.
class RecordingWriter final : public PositionedWriter {
 public:
  explicit RecordingWriter(uint64_t size) : bytes(size), times(size) {}
  IoFuture WriteAt(uint64_t offset, std::span<const std::byte> written) override {
    EXPECT_EQ(offset % kIoAlignment, 0U);
    EXPECT_EQ(written.size() % kIoAlignment, 0U);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(written.data()) % kIoAlignment, 0U);
    for (size_t i = 0; i < written.size(); ++i) {
      bytes[offset + i] = written[i];
      ++times[offset + i];
    }
    std::promise<Result<void>> done;
    done.set_value({});
    return done.get_future();
  }
  Result<std::string> Settle(ByteRange /*range*/) override { return std::string(); }
  Result<void> TakeOver(ByteRange /*range*/, std::string_view /*receipt*/) override { return {}; }
  Result<ObjectInfo> Commit() override { return ObjectInfo{}; }
  std::vector<std::byte> bytes;
  std::vector<int> times;
};

std::byte Value(uint64_t offset) { return static_cast<std::byte>(offset * 31 + (offset >> 8)); }

// Writes [begin, end) in steps, and puts the ragged ends in place as the committer would.
void WriteSegment(RecordingWriter& file, ByteRange segment, uint64_t step,
                  std::span<std::byte> buffer) {
  SegmentWriter writer(file, segment, 0);
  for (uint64_t at = segment.begin; at < segment.end; at += step) {
    const uint64_t count = std::min(step, segment.end - at);
    const std::span<std::byte> bytes = buffer.subspan(at % kIoAlignment, count);
    for (uint64_t i = 0; i < count; ++i) bytes[i] = Value(at + i);
    ASSERT_TRUE(writer.Write(bytes).get());
  }
  for (const SideValue& side : writer.Finish()) {
    EXPECT_LT(side.bytes.size(), kIoAlignment);
    for (size_t i = 0; i < side.bytes.size(); ++i) {
      file.bytes[side.file_offset + i] = side.bytes[i];
      ++file.times[side.file_offset + i];
    }
  }
}

TEST(SegmentWriter, WritesEveryByteOnceInWholeBlocks) {
  MemoryBudget budget(1 << 20);
  auto buffer = Buffer::Allocate(*budget.Acquire(1 << 17));
  ASSERT_TRUE(buffer);
  constexpr uint64_t size = 40000;
  const std::vector<std::vector<uint64_t>> borders = {{0, size},
                                                      {0, 4096, size},
                                                      {0, 1, 2, size},
                                                      {0, 100, 4095, 4097, 8192, 8193, 20000, size},
                                                      {0, 39999, size}};
  for (const auto& cuts : borders) {
    for (const uint64_t step :
         {uint64_t{1}, uint64_t{7}, uint64_t{4095}, uint64_t{4096}, uint64_t{5000}, size}) {
      RecordingWriter file(size);
      for (size_t i = 0; i + 1 < cuts.size(); ++i)
        WriteSegment(file, {cuts[i], cuts[i + 1]}, step, buffer->span());
      for (uint64_t at = 0; at < size; ++at) {
        ASSERT_EQ(file.times[at], 1) << at << " step " << step;
        ASSERT_EQ(file.bytes[at], Value(at)) << at << " step " << step;
      }
    }
  }
}

}  // namespace
}  // namespace ckpt
