#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>

#include "format/gguf/header.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/format/gguf_builder.h"

namespace ckpt::gguf {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ80 = 8;

Result<Header> Decode(const std::string& file, size_t window_bytes = 64,
                      uint64_t memory_bytes = 1 << 20) {
  std::vector<std::byte> window(window_bytes);
  return DecodeHeader(
      [&](ByteRange range, std::span<std::byte> into) -> Result<void> {
        EXPECT_LE(range.end, file.size());
        std::memcpy(into.data(), file.data() + range.begin, into.size());
        return {};
      },
      file.size(), window, memory_bytes);
}
Result<Header> Decode(const GgufBytes& file) { return Decode(file.bytes()); }

// Two tensors, keys of every type and an array of strings.
GgufBytes Model() {
  GgufBytes file;
  file.Begin(2, 15);
  file.Text("u8").U32(0).U8(200).Text("i8").U32(1).U8(0xff).Text("u16").U32(2).U16(60000);
  file.Text("i16")
      .U32(3)
      .U16(0xfffe)
      .Text("u32")
      .U32(4)
      .U32(4000000000)
      .Text("i32")
      .U32(5)
      .U32(0xfffffffd);
  file.Text("f32").U32(6).F32(1.5F).Text("bool").U32(7).U8(1).Text("string").U32(8).Text("llama");
  file.Text("u64")
      .U32(10)
      .U64(UINT64_MAX)
      .Text("i64")
      .U32(11)
      .U64(UINT64_MAX)
      .Text("f64")
      .U32(12)
      .U64(0x3ff8000000000000);
  file.Text("tokens").U32(9).U32(8).U64(3).Text("a").Text("").Text(std::string(100, 'b'));
  file.Text("scores").U32(9).U32(6).U64(2).F32(0).F32(1);
  file.Text("nested").U32(9).U32(9).U64(2).U32(0).U64(1).U8(7).U32(8).U64(0);
  file.Tensor("b", {3, 2}, kF32, 64).Tensor("a", {64}, kQ80, 128);
  return file.Data(128 + 68);
}

TEST(GgufHeader, GivesKeysAndRowMajorTensors) {
  const auto header = Decode(Model());
  ASSERT_TRUE(header) << ErrorText(header);
  EXPECT_EQ(header->version, 3U);
  ASSERT_EQ(header->tensors.size(), 2U);
  EXPECT_EQ(header->tensors[0].name, "b");
  EXPECT_EQ(header->tensors[0].shape, (Shape{2, 3}));
  EXPECT_EQ(header->tensors[0].data, (ByteRange{header->data_begin + 64, header->data_begin + 88}));
  EXPECT_EQ(header->tensors[1].dtype, DType::kQ8_0);
  EXPECT_EQ(header->tensors[1].data.size(), 68U);
  EXPECT_EQ(header->data_begin % 32, 0U);
}

TEST(GgufHeader, GivesEveryTypeOfValueAndOfArraysOnlyTheLength) {
  const auto header = Decode(Model());
  ASSERT_TRUE(header) << ErrorText(header);
  std::vector<Value> values;
  for (const KeyValue& each : header->values) values.push_back(each.value);
  EXPECT_EQ(values,
            (std::vector<Value>{uint64_t{200}, int64_t{-1}, uint64_t{60000}, int64_t{-2},
                                uint64_t{4000000000}, int64_t{-3}, 1.5, true, std::string("llama"),
                                UINT64_MAX, int64_t{-1}, 1.5, Skipped{3}, Skipped{2}, Skipped{2}}));
}

TEST(GgufHeader, IsTheSameThroughEveryWindow) {
  const auto whole = Decode(Model().bytes(), 1 << 16);
  ASSERT_TRUE(whole);
  for (const size_t window_bytes : {16U, 17U, 31U, 1000U}) {
    const auto header = Decode(Model().bytes(), window_bytes);
    ASSERT_TRUE(header) << window_bytes << ErrorText(header);
    EXPECT_EQ(header->header_bytes, whole->header_bytes);
    EXPECT_EQ(header->values.size(), whole->values.size());
    EXPECT_EQ(header->tensors[1].data, whole->tensors[1].data);
  }
}

TEST(GgufHeader, SurvivesEveryCut) {
  const std::string whole = Model().bytes();
  ASSERT_TRUE(Decode(whole));
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto header = Decode(whole.substr(0, size));
    ASSERT_FALSE(header) << size;
    EXPECT_EQ(header.error().code, Code::kBadInput);
  }
}

TEST(GgufHeader, ReadsVersion2) { EXPECT_EQ(Decode(GgufBytes().Begin(0, 0, 2))->version, 2U); }

TEST(GgufHeader, AlignsTheDataAsTheFileSays) {
  const auto header = Decode(GgufBytes()
                                 .Begin(1, 1)
                                 .Key("general.alignment", 128)
                                 .Tensor("a", {2}, kF32, 128)
                                 .Data(128 + 8, 128));
  ASSERT_TRUE(header) << ErrorText(header);
  EXPECT_EQ(header->data_begin % 128, 0U);
  EXPECT_EQ(header->tensors[0].data.begin, header->data_begin + 128);
}

TEST(GgufHeader, FindsUnsignedKeysOfAnyWidth) {
  const auto header = Decode(Model());
  ASSERT_TRUE(header);
  EXPECT_EQ(FindUnsigned(*header, "u16"), 60000U);
  EXPECT_EQ(FindUnsigned(*header, "i16"), std::nullopt);
  EXPECT_EQ(FindUnsigned(*header, "string"), std::nullopt);
  EXPECT_EQ(FindUnsigned(*header, "none"), std::nullopt);
}

TEST(GgufHeader, KeepsWithinItsMemory) {
  const auto header = Decode(
      GgufBytes().Begin(0, 1).Text("k").U32(8).Text(std::string(5000, 'x')).bytes(), 64, 4000);
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, Code::kResources);
}

TEST(GgufHeader, SkipsATextOverTheKeptSize) {
  const auto header = Decode(
      GgufBytes().Begin(0, 1).Text("k").U32(8).Text(std::string(kMaxKeptTextBytes + 1, 'x')));
  ASSERT_TRUE(header) << ErrorText(header);
  EXPECT_EQ(header->values[0].value, Value(Skipped{kMaxKeptTextBytes + 1}));
}

TEST(GgufHeader, DoesNotReadWhatItSkips) {
  const std::string file = GgufBytes()
                               .Begin(0, 1)
                               .Text("k")
                               .U32(9)
                               .U32(0)
                               .U64(1 << 20)
                               .Raw(std::string(1 << 20, 'x'))
                               .bytes();
  uint64_t read_bytes = 0;
  std::array<std::byte, 64> window{};
  ASSERT_TRUE(DecodeHeader(
      [&](ByteRange range, std::span<std::byte> into) -> Result<void> {
        read_bytes += range.size();
        std::memcpy(into.data(), file.data() + range.begin, into.size());
        return {};
      },
      file.size(), window, 1 << 20));
  EXPECT_LT(read_bytes, 200U);
}

TEST(GgufHeader, PassesOnTheErrorOfTheRead) {
  std::array<std::byte, 64> window{};
  const auto header = DecodeHeader(
      [](ByteRange, std::span<std::byte>) -> Result<void> {
        return Fail(Code::kIo, "the disk is gone");
      },
      1000, window, 1 << 20);
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, Code::kIo);
}

// A file with one defect, and what must be said of it.
struct Bad {
  const char* name;
  GgufBytes file;
  std::string says;
};

class GgufHeaderDefect : public ::testing::TestWithParam<Bad> {};

TEST_P(GgufHeaderDefect, IsRefusedWithItsOwnWords) {
  const auto header = Decode(GetParam().file);
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, Code::kBadInput);
  EXPECT_THAT(header.error().what, HasSubstr(GetParam().says));
  EXPECT_FALSE(header.error().where.empty());
  EXPECT_FALSE(header.error().remedy.empty());
}

GgufBytes OneTensor(const std::vector<uint64_t>& extents, uint32_t type, uint64_t offset,
                    uint64_t data_bytes) {
  return GgufBytes().Begin(1, 0).Tensor("a", extents, type, offset).Data(data_bytes);
}
GgufBytes DeepArray(int depth) {
  GgufBytes file;
  file.Begin(0, 1).Text("k").U32(9);
  for (int i = 1; i < depth; ++i) file.U32(9).U64(1);
  return file.U32(0).U64(0);
}

INSTANTIATE_TEST_SUITE_P(
    Rules, GgufHeaderDefect,
    ::testing::Values(
        Bad{"Empty", GgufBytes(), "not a GGUF file"},
        Bad{"BadMagic", GgufBytes().Raw("GGUX").U32(3), "begins with \"GGUX\""},
        Bad{"HtmlPage", GgufBytes().Raw("<html>"), "an HTML page"},
        Bad{"Version0", GgufBytes().Begin(0, 0, 0), "version 0 is unknown"},
        Bad{"Version1", GgufBytes().Begin(0, 0, 1), "version 1 (32-bit counts)"},
        Bad{"Version99", GgufBytes().Begin(0, 0, 99), "version 99 is unknown"},
        Bad{"BigEndian", GgufBytes().Begin(0, 0, 0x03000000), "big-endian"},
        Bad{"TensorCountHuge", GgufBytes().Begin(1ULL << 60U, 0),
            "1152921504606846976 tensors, which cannot fit"},
        Bad{"KeyCountHuge", GgufBytes().Begin(0, UINT64_MAX), "keys, which cannot fit"},
        Bad{"KeyLengthHuge", GgufBytes().Begin(0, 1).U64(1ULL << 62U).U64(0),
            "a key of 4611686018427387904 bytes"},
        Bad{"KeyOver64K", GgufBytes().Begin(0, 1).Key(std::string(65536, 'k'), 1), "over 65535"},
        Bad{"KeyNotUtf8", GgufBytes().Begin(0, 1).Key("\xff", 1), "not UTF-8"},
        Bad{"KeyTwice", GgufBytes().Begin(0, 2).Key("k", 1).Key("k", 1), "this key appears twice"},
        Bad{"ValueTypeUnknown", GgufBytes().Begin(0, 1).Text("k").U32(13).U64(0),
            "value type 13 is unknown"},
        Bad{"BoolOf2", GgufBytes().Begin(0, 1).Text("k").U32(7).U8(2), "a bool of 2"},
        Bad{"ValueCut", GgufBytes().Begin(0, 1).Text("k").U32(10).U32(0),
            "truncated: 8 bytes are needed"},
        Bad{"TextCut", GgufBytes().Begin(0, 1).Text("k").U32(8).U64(100),
            "truncated: 100 bytes are needed"},
        Bad{"ArrayHuge", GgufBytes().Begin(0, 1).Text("k").U32(9).U32(8).U64(1ULL << 61U),
            "cannot fit"},
        Bad{"ArrayTypeUnknown", GgufBytes().Begin(0, 1).Text("k").U32(9).U32(77).U64(0),
            "element type 77"},
        Bad{"ArrayTooDeep", DeepArray(5), "nested deeper than 4"},
        Bad{"AlignmentNoPowerOfTwo", GgufBytes().Begin(0, 1).Key("general.alignment", 24),
            "24 is no power of two"},
        Bad{"AlignmentZero", GgufBytes().Begin(0, 1).Key("general.alignment", 0),
            "0 is no power of two"},
        Bad{"AlignmentNoNumber",
            GgufBytes().Begin(0, 1).Text("general.alignment").U32(8).Text("32"), "no unsigned"},
        Bad{"FiveDimensions", OneTensor({1, 1, 1, 1, 1}, kF32, 0, 4), "5 dimensions"},
        Bad{"TypeUnknown", OneTensor({1}, 250, 0, 4), "ggml type 250 is unknown"},
        Bad{"TypeRemoved", OneTensor({32}, 4, 0, 32), "ggml type 4 was removed"},
        Bad{"RowNotWholeBlocks", OneTensor({33, 32}, kQ80, 0, 5000), "no whole blocks of 32"},
        Bad{"ScalarOfBlocks", OneTensor({}, kQ80, 0, 34), "no whole blocks"},
        Bad{"ShapeOverflows", OneTensor({1ULL << 33U, 1ULL << 33U}, kF32, 0, 4), "overflows"},
        Bad{"OffsetUnaligned", OneTensor({2}, kF32, 8, 64),
            "offset 8 is no multiple of the alignment 32"},
        Bad{"OffsetWraps", OneTensor({2}, kF32, UINT64_MAX - 31, 64), "truncated"},
        Bad{"RangeWraps", OneTensor({64}, kF32, UINT64_MAX - 31, 64), "2^64"},
        Bad{"DataTruncated", OneTensor({3}, kF32, 0, 11), "truncated"},
        Bad{"TensorTwice",
            GgufBytes().Begin(2, 0).Tensor("a", {1}, kF32, 0).Tensor("a", {1}, kF32, 32).Data(64),
            "appears twice"},
        Bad{"Overlap",
            GgufBytes()
                .Begin(2, 0)
                .Tensor("a", {16}, kF32, 0)
                .Tensor("b", {16}, kF32, 32)
                .Data(128),
            "overlap"}),
    [](const ::testing::TestParamInfo<Bad>& bad) { return bad.param.name; });

TEST(GgufHeader, TakesArraysOfFourLevels) { EXPECT_TRUE(Decode(DeepArray(4))); }

TEST(GgufHeader, NamesByteAndTensorOfADefect) {
  const auto header = Decode(OneTensor({1}, 250, 0, 4));
  EXPECT_EQ(PlaceOf(header, "tensor"), "a");
  EXPECT_EQ(PlaceOf(header, "byte"), "45");  // 24 + name 9 + dimensions 4 + extent 8
}

}  // namespace
}  // namespace ckpt::gguf
