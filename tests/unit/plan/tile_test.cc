#include "plan/tile.h"

#include <gtest/gtest.h>

#include <random>

#include "store/store.h"

namespace ckpt {
namespace {

// One array of [rows, columns] bf16 over a tensor that lies in `pieces` column stripes, rows in the
// order of `axes`.
struct Made {
  ArrayPlan array;
  TensorEntry tensor;
};

Made MakeArray(uint64_t rows, uint64_t columns, uint64_t pieces, std::vector<RowAxis> axes) {
  Made made;
  made.tensor = {"t", DType::kBF16, {rows, columns}, rows * columns * 2, {}};
  const uint64_t width = columns / pieces;
  for (uint64_t p = 0; p < pieces; ++p)
    made.tensor.pieces.push_back({{{0, p * width}, {rows, (p + 1) * width}},
                                  static_cast<uint32_t>(p),
                                  1000 + p,
                                  {width * 2, 2}});
  made.array.rows.n_rows = rows;
  made.array.rows.row_elements = columns;
  made.array.rows.axes = std::move(axes);
  made.array.row_bytes = columns * 2;
  return made;
}

// The object's byte at an offset, as a test pattern.
uint8_t Pattern(uint32_t object, uint64_t offset) {
  return static_cast<uint8_t>(uint64_t{object} * 101 + offset * 7 + (offset >> 8));
}

void ExpectRightRows(const Made& made, const RowSpan& span) {
  Tile tile;
  MakeTile(made.array.rows, made.tensor, span, tile);
  uint64_t requested = 0;
  uint64_t window_end = 0;
  std::vector<uint8_t> buffer(1 << 20);
  for (const TileRange& range : tile.ranges) {
    EXPECT_EQ(range.window_offset % kIoAlignment, 0U);
    EXPECT_GE(range.window_offset, window_end) << "windows do not overlap";
    window_end = range.window_offset + range.window_bytes;
    requested += range.range.size();
    for (uint64_t at = range.range.begin; at < range.range.end; ++at)
      buffer.at(range.window_offset + range.range.begin % kIoAlignment + at - range.range.begin) =
          Pattern(range.object, at);
  }
  EXPECT_EQ(requested, (span.row_end - span.row_begin) * made.array.rows.row_elements * 2)
      << "no byte more than is used";
  EXPECT_LE(window_end, TileCapacity(made.array, made.tensor, span.row_end - span.row_begin));
  const uint64_t width = made.tensor.shape[1] / made.tensor.pieces.size();
  for (uint64_t row = span.row_begin; row < span.row_end; ++row) {
    std::vector<uint8_t> found;
    for (uint32_t p = tile.first_part[row - span.row_begin];
         p < tile.first_part[row - span.row_begin + 1]; ++p)
      found.insert(
          found.end(), buffer.begin() + static_cast<std::ptrdiff_t>(tile.parts[p].buffer_offset),
          buffer.begin() +
              static_cast<std::ptrdiff_t>(tile.parts[p].buffer_offset + tile.parts[p].bytes));
    const uint64_t source_row = made.array.rows.SourceElement(row) / made.tensor.shape[1];
    std::vector<uint8_t> expected;
    for (size_t p = 0; p < made.tensor.pieces.size(); ++p) {
      for (uint64_t i = 0; i < width * 2; ++i)
        expected.push_back(
            Pattern(static_cast<uint32_t>(p), 1000 + p + source_row * width * 2 + i));
    }
    ASSERT_EQ(found, expected) << "row " << row;
  }
}

TEST(Tile, HoldsItsRowsWhateverPiecesAndOrder) {
  constexpr uint64_t heads = 3, pairs = 8, columns = 60;
  const std::vector<RowAxis> plain = {{heads * 2 * pairs, columns}};
  const std::vector<RowAxis> rotary = {
      {heads, 2 * pairs * columns}, {pairs, columns}, {2, pairs * columns}};
  for (const uint64_t pieces : {1U, 2U, 3U}) {
    for (const auto& axes : {plain, rotary}) {
      const Made made = MakeArray(heads * 2 * pairs, columns, pieces, axes);
      std::mt19937_64 random(pieces);
      ExpectRightRows(made, {0, 0, made.array.rows.n_rows});
      for (int i = 0; i < 50; ++i) {
        const uint64_t begin = random() % made.array.rows.n_rows;
        ExpectRightRows(made, {0, begin, begin + 1 + random() % (made.array.rows.n_rows - begin)});
      }
    }
  }
}

// Shards of a matrix: whole rows each, or stripes of columns, read in the order in which they lie.
TEST(Tile, RowsOfShardsFitTheCapacity) {
  for (const bool is_by_rows : {true, false}) {
    for (const uint64_t shards : {2U, 8U}) {
      constexpr uint64_t all_rows = 64;
      constexpr uint64_t shard_columns = 2048;
      Made made = MakeArray(all_rows, shard_columns, shards, {{all_rows, shard_columns}});
      if (is_by_rows) {
        const uint64_t part = all_rows / shards;
        for (uint64_t p = 0; p < shards; ++p) {
          made.tensor.pieces[p].box = {{p * part, 0}, {(p + 1) * part, shard_columns}};
          made.tensor.pieces[p].byte_strides = {shard_columns * 2, 2};
        }
      }
      for (const uint64_t capacity : {uint64_t{96} << 10U, uint64_t{1} << 20U}) {
        const uint64_t rows = RowsPerTile(made.array, made.tensor, capacity, 1 << 20);
        for (uint64_t row = 0; row < all_rows; row += rows) {
          Tile tile;
          MakeTile(made.array.rows, made.tensor, {0, row, std::min(all_rows, row + rows)}, tile);
          EXPECT_LE(tile.ranges.size(), shards) << "one range a shard";
          EXPECT_LE(tile.ranges.back().window_offset + tile.ranges.back().window_bytes, capacity);
        }
      }
    }
  }
}

TEST(Tile, AWholeHeadOfAPermutedProjectionIsOneRange) {
  const Made made = MakeArray(32, 64, 1, {{2, 16ULL * 64}, {8, 64}, {2, 8ULL * 64}});
  Tile tile;
  MakeTile(made.array.rows, made.tensor, {0, 0, 16}, tile);
  EXPECT_EQ(tile.ranges.size(), 1U);
  MakeTile(made.array.rows, made.tensor, {0, 0, 8}, tile);
  EXPECT_EQ(tile.ranges.size(), 2U) << "half of its pairs are two runs";
}

TEST(Tile, RowsFitTheCapacityThatTheyWereMeantFor) {
  for (const uint64_t pieces : {1U, 2U}) {
    for (const uint64_t capacity : {uint64_t{20000}, uint64_t{50000}, uint64_t{100000}}) {
      const Made made = MakeArray(96, 600, pieces, {{6, 16ULL * 600}, {8, 600}, {2, 8ULL * 600}});
      const uint64_t rows = RowsPerTile(made.array, made.tensor, capacity, UINT64_MAX);
      ASSERT_GE(rows, 1U);
      for (uint64_t row = 0; row < 96; row += rows) {
        Tile tile;
        MakeTile(made.array.rows, made.tensor, {0, row, std::min<uint64_t>(96, row + rows)}, tile);
        EXPECT_LE(tile.ranges.back().window_offset + tile.ranges.back().window_bytes, capacity);
      }
    }
  }
}

}  // namespace
}  // namespace ckpt
