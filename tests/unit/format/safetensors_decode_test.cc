#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "format/safetensors/header.h"
#include "tests/unit/format/error_of.h"

namespace ckpt::safetensors {
namespace {

using ::testing::HasSubstr;

// The header of a file whose data has `data_bytes`.
Result<Header> Decode(const std::string& json, uint64_t data_bytes) {
  return DecodeHeader(json, kLengthBytes + json.size() + data_bytes);
}

std::string Entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{}]}})", dtype, shape, offsets);
}
// A header with the one tensor "a".
std::string One(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return fmt::format(R"({{"a":{}}})", Entry(dtype, shape, offsets));
}
std::string Length(uint64_t n) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(static_cast<unsigned char>(n >> (8 * i)));
  return bytes;
}

TEST(SafetensorsHeader, GivesTensorsInTheOrderOfTheirBytes) {
  const auto header = Decode(
      fmt::format(R"({{"b":{},"a":{}}})", Entry("F32", "2", "4,12"), Entry("BF16", "1,2", "0,4")),
      12);
  ASSERT_TRUE(header) << ErrorText(header);
  ASSERT_EQ(header->tensors.size(), 2U);
  EXPECT_EQ(header->tensors[0], (Tensor{"a", DType::kBF16, {1, 2}, {0, 4}}));
  EXPECT_EQ(header->tensors[1], (Tensor{"b", DType::kF32, {2}, {4, 12}}));
  EXPECT_FALSE(header->metadata);
}

TEST(SafetensorsHeader, AcceptsEveryDTypeOfTheFormat) {
  for (const DType dtype : SafetensorsDTypes()) {
    const uint64_t bytes = TensorBytes(dtype, {8}).value();
    const auto header =
        Decode(One(std::string(Name(dtype)), "8", fmt::format("0,{}", bytes)), bytes);
    ASSERT_TRUE(header) << Name(dtype);
    EXPECT_EQ(header->tensors[0].dtype, dtype);
  }
}

TEST(SafetensorsHeader, AcceptsScalarsEmptyTensorsAndNoTensors) {
  EXPECT_TRUE(Decode(One("F32", "", "0,4"), 4));
  EXPECT_TRUE(Decode(One("F32", "3,0,2", "0,0"), 0));
  EXPECT_TRUE(Decode("{}", 0));
}

TEST(SafetensorsHeader, AcceptsSpaceAroundTheJson) { EXPECT_TRUE(Decode(" \n {} \t\r\n ", 0)); }

TEST(SafetensorsHeader, IgnoresUnknownFieldsOfAnEntry) {
  const auto header = Decode(
      R"({"a":{"x":{"dtype":1,"shape":[[]]},"dtype":"U8","y":[{"shape":2}],"shape":[1],"z":null,"data_offsets":[0,1]}})",
      1);
  ASSERT_TRUE(header) << ErrorText(header);
  EXPECT_EQ(header->tensors[0], (Tensor{"a", DType::kU8, {1}, {0, 1}}));
}

TEST(SafetensorsHeader, KeepsNamesAsTheyAre) {
  const auto header =
      Decode(fmt::format(R"({{"..\/\u0001\ud83d\ude00":{}}})", Entry("U8", "0", "0,0")), 0);
  ASSERT_TRUE(header) << ErrorText(header);
  EXPECT_EQ(header->tensors[0].name, "../\x01\xf0\x9f\x98\x80");
}

TEST(SafetensorsHeader, GivesTheMetadata) {
  const auto header = Decode(R"({"__metadata__":{"format":"pt","":"x"}})", 0);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->metadata, (Metadata{{"", "x"}, {"format", "pt"}}));
  EXPECT_EQ(Decode(R"({"__metadata__":{}})", 0)->metadata, Metadata{});
  EXPECT_EQ(Decode(R"({"__metadata__":null})", 0)->metadata, std::nullopt);
}

TEST(SafetensorsHeader, AcceptsADimensionOf2To64Minus1) {
  const auto header = Decode(One("U8", "0,18446744073709551615", "0,0"), 0);
  ASSERT_TRUE(header) << ErrorText(header);
  EXPECT_EQ(header->tensors[0].shape[1], UINT64_MAX);
}

// Rules 1 to 3.
TEST(SafetensorsHeaderLength, IsReadLittleEndian) {
  EXPECT_EQ(DecodeHeaderLength(Length(0x0102), 1000), 0x0102U);
  EXPECT_EQ(DecodeHeaderLength(Length(kMaxHeaderBytes), kMaxHeaderBytes + 8), kMaxHeaderBytes);
}
TEST(SafetensorsHeaderLength, RefusesAFileShorterThanTheLength) {
  EXPECT_THAT(ErrorText(DecodeHeaderLength("12345", 5)),
              HasSubstr("not a safetensors file: 5 bytes, the header length alone needs 8"));
}
TEST(SafetensorsHeaderLength, RefusesOneOver100Million) {
  EXPECT_THAT(ErrorText(DecodeHeaderLength(Length(kMaxHeaderBytes + 1) + "{}", UINT64_MAX)),
              HasSubstr("header length 100000001 is over 100000000"));
}
TEST(SafetensorsHeaderLength, NamesTheKindOfAForeignFile) {
  EXPECT_THAT(ErrorText(DecodeHeaderLength("version https://git-lfs.github.com/spec/v1", 130)),
              HasSubstr("git lfs pull"));
  EXPECT_THAT(ErrorText(DecodeHeaderLength("<!DOCTYPE html>", 130)), HasSubstr("HTML page"));
  EXPECT_THAT(ErrorText(DecodeHeaderLength(std::string("GGUF\3\0\0\0\0", 9), 130)),
              HasSubstr("GGUF"));
  EXPECT_THAT(ErrorText(DecodeHeaderLength("PK\3\4\x14____________", 130)),
              HasSubstr("zip archive"));
  EXPECT_THAT(ErrorText(DecodeHeaderLength("\x80\2\x8a\nl\xfc\x9c____", 130)), HasSubstr("pickle"));
}
TEST(SafetensorsHeaderLength, RefusesAHeaderBeyondTheFilesEnd) {
  EXPECT_EQ(DecodeHeaderLength(Length(8), 16), 8U);
  const auto length = DecodeHeaderLength(Length(9), 16);
  EXPECT_THAT(ErrorText(length),
              HasSubstr("header of 9 bytes, but file has 16: truncated download?"));
  EXPECT_EQ(PlaceOf(length, "byte"), "0");
}

// A header with one defect, and what must be said of it.
struct Bad {
  const char* name;
  std::string json;
  uint64_t data_bytes;
  std::string says;
  std::string tensor;  // the place, where it is a tensor
};

class SafetensorsHeaderDefect : public ::testing::TestWithParam<Bad> {};

TEST_P(SafetensorsHeaderDefect, IsRefusedWithItsOwnWords) {
  const Bad& bad = GetParam();
  const auto header = Decode(bad.json, bad.data_bytes);
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, Code::kBadInput);
  EXPECT_THAT(header.error().what, HasSubstr(bad.says));
  EXPECT_THAT(PlaceOf(header, "tensor"), HasSubstr(bad.tensor));
  EXPECT_FALSE(header.error().remedy.empty());
}

const std::string kTwo = R"({{"a":{},"b":{}}})";
std::string Two(const std::string& a, const std::string& b) {
  return fmt::format(fmt::runtime(kTwo), a, b);
}

INSTANTIATE_TEST_SUITE_P(
    Rules, SafetensorsHeaderDefect,
    ::testing::Values(
        // 4 and 5
        Bad{"NotUtf8", "{\"\xc0\x80\":1}", 0, "not UTF-8", ""}, Bad{"Empty", "", 0, "not JSON", ""},
        Bad{"Array", "[]", 0, "no JSON object", ""},
        Bad{"TrailingCharacters", "{}x", 0, "not JSON", ""},
        Bad{"NulPadding", std::string("{}\0\0", 4), 0, "NUL", ""},
        Bad{"ByteOrderMark", "\xef\xbb\xbf{}", 0, "byte-order mark", ""},
        Bad{"TooDeep", R"({"a":{"x":)" + std::string(127, '[') + std::string(127, ']') + "}}", 0,
            "deeper than 128", ""},
        // 6
        Bad{"MetadataIsList", R"({"__metadata__":["a"]})", 0,
            "__metadata__ is no object of strings", ""},
        Bad{"MetadataOfNumber", R"({"__metadata__":{"n":1}})", 0,
            R"(__metadata__ "n" is no string)", ""},
        Bad{"MetadataOfNull", R"({"__metadata__":{"n":null}})", 0,
            R"(__metadata__ "n" is no string)", ""},
        Bad{"MetadataNested", R"({"__metadata__":{"n":{"x":"y"}}})", 0,
            R"(__metadata__ "n" is no string)", ""},
        // 7
        Bad{"EntryIsNull", R"({"a":null})", 0, "the entry is no JSON object", "a"},
        Bad{"EntryIsList", R"({"a":["U8",[1],[0,1]]})", 1, "the entry is no JSON object", "a"},
        Bad{"NoDType", R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "\"dtype\" is missing",
            "a"},
        Bad{"NoShape", R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "\"shape\" is missing",
            "a"},
        Bad{"NoOffsets", R"({"a":{"dtype":"U8","shape":[1]}})", 1, "\"data_offsets\" is missing",
            "a"},
        Bad{"ShapeIsNumber", R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1,
            "\"shape\" is no list", "a"},
        Bad{"ShapeIsNested", One("U8", "[1]", "0,1"), 1, "a dimension is no number", "a"},
        Bad{"DimensionNegative", One("U8", "-2", "0,1"), 1, "a dimension is negative (-2)", "a"},
        Bad{"DimensionMinusZero", One("U8", "-0", "0,0"), 0, "a dimension is negative (-0)", "a"},
        Bad{"DimensionFraction", One("U8", "1.0", "0,1"), 1, "is no integer", "a"},
        Bad{"DimensionExponent", One("U8", "1e0", "0,1"), 1, "is no integer", "a"},
        Bad{"DimensionOver64Bits", One("U8", "0,18446744073709551616", "0,0"), 0,
            "is no integer below 2^64", "a"},
        Bad{"DimensionString", One("U8", "\"1\"", "0,1"), 1, "a dimension is no number", "a"},
        Bad{"OffsetNegative", One("U8", "1", "-1,1"), 1, "an offset is negative", "a"},
        Bad{"OneOffset", One("U8", "1", "0"), 1, "has 1 numbers, not 2", "a"},
        Bad{"ThreeOffsets", One("U8", "1", "0,1,1"), 1, "has 3 numbers, not 2", "a"},
        Bad{"DTypeIsNumber", R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,1]}})", 1,
            "\"dtype\" is no string", "a"},
        // 8
        Bad{"UnknownDType", One("F33", "1", "0,1"), 1, "unknown dtype \"F33\"; known are BOOL, F4",
            "a"},
        Bad{"DTypeInLowerCase", One("u8", "1", "0,1"), 1, "unknown dtype \"u8\"", "a"},
        Bad{"DTypeOfGguf", One("Q8_0", "32", "0,34"), 34, "unknown dtype \"Q8_0\"", "a"},
        // 9
        Bad{"NameTwice",
            fmt::format(R"({{"a":{},"a":{}}})", Entry("F32", "2", "0,8"), Entry("I32", "2", "0,8")),
            8, "tensor \"a\" appears twice", "a"},
        Bad{"NameTwiceByEscape",
            fmt::format(R"({{"a":{},"\u0061":{}}})", Entry("U8", "1", "0,1"),
                        Entry("U8", "1", "1,2")),
            2, "tensor \"a\" appears twice", "a"},
        Bad{"FieldTwice", R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
            1, "field \"dtype\" appears twice", "a"},
        Bad{"MetadataTwice", R"({"__metadata__":{},"__metadata__":{}})", 0,
            "__metadata__ appears twice", ""},
        Bad{"MetadataKeyTwice", R"({"__metadata__":{"a":"1","a":"1"}})", 0,
            "__metadata__ has \"a\" twice", ""},
        // 10 to 12
        Bad{"GapAtStart", One("F32", "2", "4,12"), 12, "gap of 4 bytes before the first tensor",
            "a"},
        Bad{"GapBetween", Two(Entry("U8", "1", "0,1"), Entry("U8", "1", "4,5")), 5,
            "gap of 3 bytes", "b"},
        Bad{"Overlap", Two(Entry("F32", "2", "0,8"), Entry("F32", "2", "4,12")), 12,
            "overlap of 4 bytes", "b"},
        Bad{"OffsetsReversed", One("F32", "2", "8,0"), 8, "offsets reversed: begin 8, end 0", "a"},
        // 13 to 15
        Bad{"ShapeOverflows", One("U8", "4294967296,4294967296", "0,0"), 0, "overflows", "a"},
        Bad{"ShapeOverflowsBeforeAZero", One("U8", "4294967296,4294967296,0", "0,0"), 0,
            "overflows", "a"},
        Bad{"BitsOverflow", One("F64", "2305843009213693952", "0,0"), 0, "overflows", "a"},
        Bad{"EndsInsideAByte", One("F4", "3", "0,2"), 2, "3 elements of 4 bits end inside a byte",
            "a"},
        Bad{"SizeMismatch", One("F32", "3", "0,8"), 8, "has 12 bytes, its offsets [0, 8) have 8",
            "a"},
        // 16
        Bad{"Truncated", One("F32", "2", "0,8"), 5, "truncated: 3 bytes missing", ""},
        Bad{"TrailingBytes", One("F32", "2", "0,8"), 12, "4 bytes after the last tensor", ""},
        Bad{"BytesWithoutTensors", "{}", 1, "1 bytes after the last tensor", ""}),
    [](const ::testing::TestParamInfo<Bad>& bad) { return bad.param.name; });

TEST(SafetensorsHeader, NamesTheByteOfTheFile) {
  // {"a":{"dtype":"F33" ends 19 bytes after the 8 of the length.
  EXPECT_EQ(PlaceOf(Decode(One("F33", "1", "0,1"), 1), "byte"), "27");
}

TEST(SafetensorsHeader, SurvivesEveryCutOfItsText) {
  const std::string whole =
      R"({"__metadata__":{"a":"b"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  ASSERT_TRUE(Decode(whole, 8));
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(Decode(whole.substr(0, size), 8)) << size;
}

}  // namespace
}  // namespace ckpt::safetensors
