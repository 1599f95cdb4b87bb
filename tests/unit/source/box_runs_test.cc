#include "source/box_runs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "source/run_segments.h"

namespace ckpt {
namespace {

std::string Lines(BoxRuns runs) {
  std::string lines;
  for (BoxRun run; runs.Next(run);)
    lines += fmt::format("{}->{}+{} ", run.source, run.out, run.bytes);
  return lines;
}

TEST(BoxRuns, OfADenseBoxIsOneRun) {
  EXPECT_EQ(Lines({DType::kBF16, {{0, 0}, {3, 4}}, {8, 2}, {{0, 0}, {3, 4}}}), "0->0+24 ");
  EXPECT_EQ(Lines({DType::kBF16, {{0, 0}, {3, 4}}, {8, 2}, {{1, 0}, {3, 4}}}), "8->0+16 ");
  EXPECT_EQ(Lines({DType::kBF16, {}, {}, {}}), "0->0+2 ");
}

TEST(BoxRuns, CutsWhatIsNotDense) {
  EXPECT_EQ(Lines({DType::kBF16, {{0, 0}, {3, 4}}, {8, 2}, {{1, 1}, {3, 3}}}), "10->0+4 18->4+4 ");
  // A source that lies at [2, 5) x [4, 8) of the tensor.
  EXPECT_EQ(Lines({DType::kU8, {{2, 4}, {5, 8}}, {4, 1}, {{0, 5}, {4, 7}}}), "1->4+2 5->6+2 ");
}

TEST(BoxRuns, AscendInTheSourceWhateverItsStrides) {
  // Transposed: element (i, j) at 3 * j + i.
  EXPECT_EQ(Lines({DType::kU8, {{0, 0}, {3, 2}}, {1, 3}, {{0, 0}, {3, 2}}}),
            "0->0+1 1->2+1 2->4+1 3->1+1 4->3+1 5->5+1 ");
}

TEST(BoxRuns, CountTheLastAxisInBlocks) {
  EXPECT_EQ(Lines({DType::kQ8_0, {{0, 0}, {2, 96}}, {102, 34}, {{0, 32}, {2, 96}}}),
            "34->0+68 136->68+68 ");
}

TEST(BoxRuns, HasNothingWhereBoxesDoNotMeet) {
  EXPECT_EQ(Lines({DType::kU8, {{0}, {3}}, {1}, {{3}, {5}}}), "");
  EXPECT_EQ((BoxRuns{DType::kU8, {{0}, {3}}, {1}, {{3}, {5}}}.total_bytes()), 0U);
}

TEST(BoxRuns, KnowTheirBytes) {
  const BoxRuns runs(DType::kU8, {{0, 0}, {4, 8}}, {8, 1}, {{1, 2}, {3, 4}});
  EXPECT_EQ(runs.total_bytes(), 4U);
  EXPECT_EQ(ToString(runs.reach()), "[10, 20)");
  // Transposed, and of blocks.
  EXPECT_EQ(ToString(BoxRuns(DType::kU8, {{0, 0}, {3, 2}}, {1, 3}, {{1, 0}, {3, 2}}).reach()),
            "[1, 6)");
  EXPECT_EQ(
      ToString(BoxRuns(DType::kQ8_0, {{0, 0}, {2, 96}}, {102, 34}, {{0, 32}, {2, 64}}).reach()),
      "[34, 170)");
  EXPECT_TRUE(BoxRuns(DType::kU8, {{0}, {3}}, {1}, {{3}, {5}}).reach().empty());
}

// Copies by element, by segments and as a stream must agree.
TEST(BoxRuns, CopyTheSameInSegmentsAndAsAStream) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const size_t rank = 1 + random() % 4;
    Box source;
    Box box;
    std::vector<uint64_t> strides(rank);
    uint64_t stride = 2;
    for (size_t axis = 0; axis < rank; ++axis) {
      const uint64_t begin = random() % 3;
      source.begin.push_back(begin);
      source.end.push_back(begin + 1 + random() % 4);
      box.begin.push_back(random() % 3);
      box.end.push_back(box.begin.back() + 1 + random() % 5);
    }
    for (size_t axis = rank; axis-- > 0;) {
      strides[axis] = stride;
      stride *= source.end[axis] - source.begin[axis];
    }
    std::vector<std::byte> from(stride);
    for (std::byte& each : from) each = static_cast<std::byte>(random());
    const uint64_t out_bytes = BoxBytes(DType::kBF16, box);
    std::vector<std::byte> plain(out_bytes);
    const BoxRuns runs(DType::kBF16, source, strides, box);
    BoxRuns all = runs;
    uint64_t total = 0;
    uint64_t before = 0;
    for (BoxRun run; all.Next(run);) {
      std::memcpy(plain.data() + run.out, from.data() + run.source, run.bytes);
      EXPECT_GE(run.source, before);
      before = run.source;
      total += run.bytes;
    }
    EXPECT_EQ(total, runs.total_bytes());

    std::vector<std::byte> segmented(out_bytes);
    RunSegments segments(runs, 1 + random() % 40);
    while (const auto segment = segments.Next())
      segment->Copy(
          std::span<const std::byte>(from).subspan(segment->range.begin, segment->range.size()),
          segmented);
    EXPECT_EQ(segmented, plain);

    std::vector<std::byte> streamed(out_bytes);
    RunSink sink(runs);
    for (std::span<const std::byte> rest = from; !rest.empty();) {
      const size_t step = std::min<size_t>(rest.size(), 1 + random() % 9);
      sink.Take(rest.first(step), streamed);
      rest = rest.subspan(step);
    }
    EXPECT_EQ(streamed, plain);
  }
}

}  // namespace
}  // namespace ckpt
