#include "base/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace ckpt {
namespace {

TEST(DType, HasTheNamesAndBitsOfSafetensorsInItsOrder) {
  const std::vector<std::pair<std::string, double>> expected = {
      {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
      {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
      {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
      {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
      {"I64", 64},        {"U64", 64}};
  std::vector<std::pair<std::string, double>> found;
  for (const DType dtype : SafetensorsDTypes())
    found.emplace_back(Name(dtype), BitsPerElement(dtype));
  EXPECT_EQ(found, expected);
}

TEST(DType, IsFoundByItsExactNameOnly) {
  EXPECT_EQ(SafetensorsDType("BF16"), DType::kBF16);
  EXPECT_EQ(SafetensorsDType("bf16"), std::nullopt);
  EXPECT_EQ(SafetensorsDType("Q8_0"), std::nullopt);
  EXPECT_EQ(SafetensorsDType(""), std::nullopt);
}

TEST(DType, HasTheBlocksOfGguf) {
  struct Row {
    uint32_t id;
    const char* name;
    uint32_t elements;
    uint32_t bytes;
  };
  // docs/formats/gguf.md
  const std::vector<Row> rows = {
      {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},
      {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 40},      {10, "Q2_K", 256, 84},
      {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
      {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66},
      {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
      {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},
      {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
      {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},
      {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},
      {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},    {40, "NVFP4", 64, 36},
      {41, "Q1_0", 128, 18}};
  std::set<uint32_t> known;
  for (const Row& row : rows) {
    ASSERT_TRUE(GgmlDType(row.id)) << row.id;
    const DType dtype = GgmlDType(row.id).value_or(DType::kBool);
    EXPECT_EQ(Name(dtype), row.name);
    EXPECT_EQ(Info(dtype).block_elements, row.elements) << row.name;
    EXPECT_EQ(Info(dtype).block_bytes, row.bytes) << row.name;
    known.insert(row.id);
  }
  for (uint32_t id = 0; id < 300; ++id) {
    EXPECT_EQ(GgmlDType(id).has_value(), known.contains(id)) << id;
  }
}

TEST(DType, HasARowOfItsOwn) {
  std::set<std::string_view> names;
  for (int i = 0; i < kDTypeCount; ++i) names.insert(Name(static_cast<DType>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kDTypeCount));
}

TEST(TensorBytes, CountsElementsAndBlocks) {
  EXPECT_EQ(TensorBytes(DType::kBF16, {2, 3}), 12U);
  EXPECT_EQ(TensorBytes(DType::kF32, {}), 4U);
  EXPECT_EQ(TensorBytes(DType::kF32, {5, 0}), 0U);
  EXPECT_EQ(TensorBytes(DType::kF4, {2, 3}), 3U);
  EXPECT_EQ(TensorBytes(DType::kF6E2M3, {4}), 3U);
  EXPECT_EQ(TensorBytes(DType::kQ4_1, {3, 64}), 120U);
}

TEST(TensorBytes, RefusesFractionsOfABlock) {
  EXPECT_FALSE(TensorBytes(DType::kF4, {3}));
  EXPECT_FALSE(TensorBytes(DType::kF6E3M2, {2}));
  EXPECT_FALSE(TensorBytes(DType::kQ8_0, {32, 33}));
  EXPECT_FALSE(TensorBytes(DType::kQ8_0, {}));
}

TEST(TensorBytes, RefusesBitsBeyond64Bits) {
  EXPECT_EQ(TensorBytes(DType::kU8, {(1ULL << 61U) - 1}), (1ULL << 61U) - 1);
  EXPECT_FALSE(TensorBytes(DType::kU8, {1ULL << 61U}));
  EXPECT_FALSE(TensorBytes(DType::kF64, {1ULL << 60U}));
  EXPECT_FALSE(TensorBytes(DType::kU8, {1ULL << 32U, 1ULL << 32U}));
}

}  // namespace
}  // namespace ckpt
