#include "source/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/format/error_of.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;
using Strides = std::vector<uint64_t>;

TEST(RowMajorStrides, CountBytes) {
  EXPECT_EQ(RowMajorStrides(DType::kBF16, {2, 3, 4}), (Strides{24, 8, 2}));
  EXPECT_EQ(RowMajorStrides(DType::kF64, {5}), (Strides{8}));
  EXPECT_EQ(RowMajorStrides(DType::kF32, {}), Strides{});
}

TEST(RowMajorStrides, EndWithOneBlockForBlockTypes) {
  EXPECT_EQ(RowMajorStrides(DType::kQ8_0, {3, 64}), (Strides{68, 34}));
  EXPECT_EQ(RowMajorStrides(DType::kQ4_K, {2, 3, 512}), (Strides{864, 288, 144}));
  EXPECT_EQ(RowMajorStrides(DType::kF4, {3, 8}), (Strides{4, 1}));
  EXPECT_EQ(RowMajorStrides(DType::kF6E2M3, {3, 8}), (Strides{6, 3}));
}

TEST(RowMajorStrides, AreNoneWhereRowsEndInsideAByte) {
  EXPECT_EQ(RowMajorStrides(DType::kF4, {2, 3}), Strides{});
}

TEST(Catalog, TellsContiguousTensorsFromOthers) {
  TensorEntry tensor = ContiguousEntry("t", DType::kF32, {2, 3}, 0, {100, 124});
  EXPECT_EQ(tensor.size_bytes, 24U);
  EXPECT_EQ(tensor.pieces[0].offset_bytes, 100U);
  EXPECT_TRUE(IsContiguous(tensor));
  std::swap(tensor.pieces[0].byte_strides[0], tensor.pieces[0].byte_strides[1]);
  EXPECT_FALSE(IsContiguous(tensor));
}

TEST(Catalog, SortsTensorsByteWise) {
  Catalog catalog;
  for (const char* name : {"b", "a.10", "a.9", "B"})
    catalog.tensors.push_back(ContiguousEntry(name, DType::kU8, {0}, 0, {}));
  ASSERT_TRUE(SortTensors(catalog));
  std::string order;
  for (const TensorEntry& tensor : catalog.tensors) order += tensor.name + " ";
  EXPECT_EQ(order, "B a.10 a.9 b ");
}

TEST(Catalog, NamesBothFilesOfATensorThatAppearsTwice) {
  Catalog catalog;
  catalog.root = *Uri::Parse("/m");
  catalog.objects = {{"x", 0, {}, 0, {}}, {"y", 0, {}, 0, {}}};
  catalog.tensors = {ContiguousEntry("t", DType::kU8, {0}, 0, {}),
                     ContiguousEntry("t", DType::kU8, {0}, 1, {})};
  const auto sorted = SortTensors(catalog);
  EXPECT_THAT(ErrorText(sorted), HasSubstr("/m/x"));
  EXPECT_THAT(ErrorText(sorted), HasSubstr("/m/y"));
}

TEST(Catalog, CountsTheMemoryOfItsTensors) {
  Catalog catalog;
  const uint64_t empty = MemoryBytes(catalog);
  for (int i = 0; i < 1000; ++i)
    catalog.tensors.push_back(ContiguousEntry(std::string(50, 'n'), DType::kU8, {1, 1}, 0, {0, 1}));
  const uint64_t each = (MemoryBytes(catalog) - empty) / 1000;
  EXPECT_GT(each, sizeof(TensorEntry) + sizeof(Piece) + 50 + 64);
  EXPECT_LT(each, 1000U);
}

}  // namespace
}  // namespace ckpt
