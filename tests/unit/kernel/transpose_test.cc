#include "kernel/transpose.h"

#include <algorithm>
#include <array>

#include "kernel/reference.h"
#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {
namespace {

class Transpose : public KernelTest {};
CKPT_FOR_EACH_TARGET(Transpose);

constexpr std::array<size_t, 3> kElements = {1, 2, 4};

// Separate rows in no order, each with its own alignment, so that a read past one is seen by the
// address sanitizer.
struct Rows {
  Rows(size_t n_rows, size_t row_bytes, std::mt19937& random) {
    for (size_t r = 0; r < n_rows; ++r) data.push_back(RandomBytes(row_bytes, random, r % 5));
    for (const Guarded& row : data) pointers.push_back(row.data());
    std::shuffle(pointers.begin(), pointers.end(), random);
  }
  std::vector<Guarded> data;
  std::vector<const std::byte*> pointers;
};

void ExpectLikeReference(const Rows& rows, size_t n_columns, size_t element_size, size_t stride,
                         size_t shift) {
  const auto element = static_cast<uint32_t>(element_size);
  const size_t n_rows = rows.pointers.size();
  const size_t bytes = n_columns == 0 ? 0 : (n_columns - 1) * stride + n_rows * element;
  Guarded dst(bytes, shift);
  Guarded expected(bytes);
  TransposeRows(rows.pointers.data(), n_rows, n_columns, element, dst.data(), stride);
  reference::TransposeRows(rows.pointers.data(), n_rows, n_columns, element, expected.data(),
                           stride);
  // Bytes between the output's rows hold the guard's mark in both.
  EXPECT_TRUE(dst == expected && dst.IsIntact())
      << n_rows << " x " << n_columns << " of " << element << ", stride " << stride << ", shift "
      << shift;
}

TEST_P(Transpose, AnyShapeStrideAndAlignment) {
  std::mt19937 random(1);
  constexpr std::array<size_t, 14> row_counts = {0,  1,  15, 16,  17,  31,  32,
                                                 63, 64, 65, 127, 128, 129, 200};
  constexpr std::array<size_t, 9> column_counts = {0, 1, 3, 4, 7, 8, 16, 33, 67};
  for (const size_t element : kElements) {
    for (const size_t n_rows : row_counts) {
      const Rows rows(n_rows, 67 * element, random);
      for (const size_t n_columns : column_counts) {
        ExpectLikeReference(rows, n_columns, element, n_rows * element, 0);
        ExpectLikeReference(rows, n_columns, element, n_rows * element + 5, 3);
      }
    }
  }
}

TEST_P(Transpose, MoreColumnsThanABlock) {
  std::mt19937 random(2);
  for (const size_t element : kElements) {
    for (const size_t n_columns : {1024 / element - 1, 1024 / element, 1024 / element + 1}) {
      const Rows rows(130, n_columns * element, random);
      ExpectLikeReference(rows, n_columns, element, 192 * element, 0);
    }
  }
}

// Over 1 MiB of output: streamed where whole lines are possible.
TEST_P(Transpose, PastTheCaches) {
  std::mt19937 random(3);
  for (const size_t element : kElements) {
    const size_t n_columns = (size_t{1} << 20) / (300 * element) + 20;
    const Rows rows(300, n_columns * element, random);
    ExpectLikeReference(rows, n_columns, element, 320 * element, 0);
    ExpectLikeReference(rows, n_columns, element, 320 * element,
                        32);  // a block up to the line first
    ExpectLikeReference(rows, n_columns, element, 320 * element, 60);
    ExpectLikeReference(rows, n_columns, element, 320 * element, 1);
    ExpectLikeReference(rows, n_columns, element, 300 * element, 0);  // lines never aligned
  }
}

TEST_P(Transpose, FewRowsPastTheCaches) {
  std::mt19937 random(4);
  const Rows rows(3, 400000, random);
  ExpectLikeReference(rows, 200000, 2, 64, 32);
}

TEST_P(Transpose, ConvertsWhilePacking) {
  std::mt19937 random(5);
  struct Case {
    DType from, to;
    size_t n_columns;
  };
  constexpr std::array<Case, 15> cases = {{{DType::kF64, DType::kBF16, 37},
                                           {DType::kF32, DType::kBF16, 1029},
                                           {DType::kF16, DType::kBF16, 515},
                                           {DType::kBF16, DType::kF32, 600},
                                           {DType::kBF16, DType::kBF16, 513},
                                           {DType::kF8E4M3, DType::kF32, 300},
                                           {DType::kQ8_0, DType::kBF16, 544},
                                           {DType::kQ4_0, DType::kF32, 288},
                                           {DType::kQ6_K, DType::kBF16, 768},
                                           {DType::kQ6_K, DType::kF32, 512},
                                           {DType::kQ5_1, DType::kBF16, 544},
                                           {DType::kIQ4_NL, DType::kBF16, 96},
                                           {DType::kQ4_K, DType::kBF16, 768},
                                           {DType::kQ3_K, DType::kF32, 256},
                                           {DType::kIQ4_XS, DType::kBF16, 512}}};
  constexpr size_t n_rows = 70;
  for (const auto& [from, to, n_columns] : cases) {
    const size_t row_bytes = n_columns / Info(from).block_elements * Info(from).block_bytes;
    Rows rows(n_rows, row_bytes, random);
    // Small exponents everywhere: NaN payloads through arithmetic are no promise.
    for (Guarded& row : rows.data) {
      for (size_t i = 0; i < row_bytes; ++i) row.data()[i] &= std::byte{0xbb};
    }
    const uint32_t element = ElementBytes(to);
    Rows converted(n_rows, n_columns * element, random);
    for (size_t r = 0; r < n_rows; ++r) {
      const auto convert = from == to ? FindConvert(from, to) : reference::FindConvert(from, to);
      convert(rows.pointers[r], converted.data[r].data(), n_columns);
      converted.pointers[r] = converted.data[r].data();
    }
    Guarded dst(n_columns * n_rows * element, 2);
    Guarded expected(n_columns * n_rows * element);
    ASSERT_TRUE(TransposeRowsConvert(rows.pointers.data(), n_rows, n_columns, from, to, dst.data(),
                                     n_rows * element));
    reference::TransposeRows(converted.pointers.data(), n_rows, n_columns, element, expected.data(),
                             n_rows * element);
    EXPECT_TRUE(dst == expected && dst.IsIntact()) << Name(from) << " to " << Name(to);
  }
}

TEST_P(Transpose, SaysWhereNoConversionExists) {
  const std::byte* row = nullptr;
  EXPECT_TRUE(TransposeRowsConvert(&row, 1, 0, DType::kF32, DType::kBF16, nullptr, 2));
  EXPECT_FALSE(TransposeRowsConvert(&row, 1, 0, DType::kF32, DType::kF16, nullptr, 2));
  EXPECT_FALSE(TransposeRowsConvert(&row, 1, 0, DType::kIQ2_XXS, DType::kBF16, nullptr, 2));
  EXPECT_FALSE(TransposeRowsConvert(&row, 1, 0, DType::kF64, DType::kF64, nullptr, 8));
}

}  // namespace
}  // namespace ckpt
