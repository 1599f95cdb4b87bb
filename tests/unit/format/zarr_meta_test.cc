#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "format/zarr/meta.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/format/hex.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

// Texts of another program, tests/golden/orbax/make_ocdbt.py.
constexpr std::string_view kV2 =
    R"({"chunks":[2,2],"compressor":null,"dimension_separator":".","dtype":"|i1","fill_value":null,"filters":null,"order":"C","shape":[2,3],"zarr_format":2})";
constexpr std::string_view kV3 =
    R"({"chunk_grid":{"configuration":{"chunk_shape":[2,2]},"name":"regular"},"chunk_key_encoding":{"name":"default"},"codecs":[{"configuration":{"endian":"little"},"name":"bytes"},{"name":"crc32c"}],"data_type":"bfloat16","fill_value":0.0,"node_type":"array","shape":[2,3],"zarr_format":3})";
constexpr std::string_view kSharded =
    R"({"chunk_grid":{"configuration":{"chunk_shape":[4,2]},"name":"regular"},"chunk_key_encoding":{"name":"default"},"codecs":[{"configuration":{"chunk_shape":[2,2],"codecs":[{"configuration":{"endian":"little"},"name":"bytes"}],"index_codecs":[{"configuration":{"endian":"little"},"name":"bytes"},{"name":"crc32c"}]},"name":"sharding_indexed"}],"data_type":"float16","fill_value":0.0,"node_type":"array","shape":[4,2],"zarr_format":3})";

ZarrArrayMeta V3(DType dtype, Shape shape, Shape chunk) {
  ZarrArrayMeta meta = MakeZarrMeta(ZarrForm::kV3, dtype, std::move(shape), std::move(chunk));
  meta.codecs.has_content_checksum = false;  // as the reader has it without a compressor
  return meta;
}

// `text` with the first `from` replaced.
std::string With(std::string_view text, std::string_view from, std::string_view to) {
  std::string changed(text);
  const size_t at = changed.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return changed.replace(at, from.size(), to);
}

std::string V2Refusal(std::string_view from, std::string_view to) {
  return ErrorText(DecodeZarrMeta(ZarrForm::kV2, With(kV2, from, to)));
}
std::string V3Refusal(std::string_view from, std::string_view to) {
  return ErrorText(DecodeZarrMeta(ZarrForm::kV3, With(kV3, from, to)));
}
std::string ShardRefusal(std::string_view from, std::string_view to) {
  return ErrorText(DecodeZarrMeta(ZarrForm::kV3, With(kSharded, from, to)));
}

TEST(ZarrMeta, OfVersion2IsWrittenAsTheReferenceWritesIt) {
  ZarrArrayMeta meta = MakeZarrMeta(ZarrForm::kV2, DType::kI8, {2, 3}, {2, 2});
  EXPECT_EQ(EncodeZarrMeta(meta), kV2);
  meta.codecs.compression = Compression::kZstd;
  EXPECT_EQ(EncodeZarrMeta(meta), With(kV2, "null", R"({"id":"zstd","level":1})"));
  EXPECT_EQ(
      EncodeZarrMeta(MakeZarrMeta(ZarrForm::kV2, DType::kI64, {}, {})),
      R"({"chunks":[],"compressor":null,"dimension_separator":".","dtype":"<i8","fill_value":null,"filters":null,"order":"C","shape":[],"zarr_format":2})");
}

TEST(ZarrMeta, OfVersion3IsWrittenAsTheReferenceWritesIt) {
  ZarrArrayMeta meta = V3(DType::kBF16, {2, 3}, {2, 2});
  meta.codecs.has_crc32c = true;
  EXPECT_EQ(EncodeZarrMeta(meta), kV3);
  meta.codecs = {.compression = Compression::kZstd, .level = 1};
  EXPECT_EQ(EncodeZarrMeta(meta),
            With(kV3, R"({"name":"crc32c"})",
                 R"({"configuration":{"checksum":true,"level":1},"name":"zstd"})"));
  EXPECT_THAT(EncodeZarrMeta(V3(DType::kI4, {2}, {2})),
              HasSubstr(R"("codecs":[{"name":"bytes"}],"data_type":"int4","fill_value":0,)"));
  EXPECT_THAT(EncodeZarrMeta(V3(DType::kC64, {2}, {2})), HasSubstr(R"("fill_value":[0.0,0.0])"));
  EXPECT_THAT(EncodeZarrMeta(V3(DType::kBool, {2}, {2})), HasSubstr(R"("fill_value":false)"));
  ZarrArrayMeta sharded = V3(DType::kF16, {4, 2}, {4, 2});
  sharded.sharding = ZarrSharding{{2, 2}, {}, true, true};
  EXPECT_EQ(EncodeZarrMeta(sharded), kSharded);
}

TEST(ZarrMeta, IsReadBackInEveryForm) {
  for (const ZarrForm form : {ZarrForm::kV2, ZarrForm::kV3}) {
    std::set<std::string_view> names;
    for (int i = 0; i < kDTypeCount; ++i) {
      const auto dtype = static_cast<DType>(i);
      const auto name = ZarrDTypeName(form, dtype);
      if (!name) continue;
      names.insert(*name);
      ZarrArrayMeta meta = MakeZarrMeta(form, dtype, {5, 0, 3}, {2, 1, 3});
      meta.codecs.has_content_checksum = form == ZarrForm::kV2;
      const auto back = DecodeZarrMeta(form, EncodeZarrMeta(meta));
      ASSERT_TRUE(back) << ErrorText(back);
      EXPECT_EQ(*back, meta) << *name;
    }
    EXPECT_EQ(names.size(), 21U);
  }
}

TEST(ZarrMeta, ReadsTheCodecsThatItNames) {
  const auto v2 = [](std::string_view compressor) {
    return DecodeZarrMeta(ZarrForm::kV2, With(kV2, "null", compressor))->codecs;
  };
  EXPECT_EQ(v2(R"({"id":"zstd","level":3})").compression, Compression::kZstd);
  EXPECT_EQ(v2(R"({"id":"zlib","level":3})").compression, Compression::kZlib);
  EXPECT_EQ(v2(R"({"id":"gzip","level":3})").compression, Compression::kGzip);
  const auto v3 = [](std::string_view codecs) {
    const auto meta = DecodeZarrMeta(ZarrForm::kV3, With(kV3, R"({"name":"crc32c"})", codecs));
    EXPECT_TRUE(meta) << ErrorText(meta);
    return meta->codecs;
  };
  const ZarrCodecs both = v3(R"({"name":"gzip"},{"name":"crc32c"})");
  EXPECT_EQ(both.compression, Compression::kGzip);
  EXPECT_TRUE(both.has_crc32c);
  EXPECT_TRUE(v3(R"("crc32c")").has_crc32c) << "a codec may be its name alone";
  EXPECT_TRUE(
      v3(R"({"name":"zstd","configuration":{"level":1,"checksum":true}})").has_content_checksum);
}

TEST(ZarrMeta, TakesWhatMayBeAbsentAndOtherSpellings) {
  EXPECT_EQ(
      DecodeZarrMeta(ZarrForm::kV2, With(kV2, R"("dimension_separator":".",)", ""))->separator,
      '.');
  EXPECT_EQ(DecodeZarrMeta(ZarrForm::kV2, With(kV2, R"(:".")", R"(:"/")"))->separator, '/');
  EXPECT_EQ(DecodeZarrMeta(ZarrForm::kV2, With(kV2, "|i1", "<i1"))->dtype, DType::kI8);
  const auto big = DecodeZarrMeta(ZarrForm::kV2, With(kV2, "|i1", ">f4"));
  EXPECT_EQ(big->dtype, DType::kF32);
  EXPECT_TRUE(big->codecs.is_big_endian);
  const auto v2_keys =
      DecodeZarrMeta(ZarrForm::kV3, With(kV3, R"({"name":"default"})", R"({"name":"v2"})"));
  EXPECT_FALSE(v2_keys->has_prefix);
  EXPECT_EQ(v2_keys->separator, '.');
  EXPECT_TRUE(DecodeZarrMeta(ZarrForm::kV3, With(kV3, "{", R"({"attributes":{"a":[1]},)")));
  EXPECT_FALSE(DecodeZarrMeta(ZarrForm::kV3, With(kSharded, R"("index_codecs")",
                                                  R"("index_location":"start","index_codecs")"))
                   ->sharding->index_is_at_end);
}

TEST(ZarrMeta, ReadsEverySpellingOfAFillValue) {
  const auto fill = [](std::string_view dtype, std::string_view value) -> std::string {
    std::string text = With(With(kV3, "bfloat16", dtype), "0.0", value);
    const auto meta = DecodeZarrMeta(ZarrForm::kV3, text);
    return meta ? meta->fill : meta.error().what;
  };
  EXPECT_EQ(fill("bfloat16", "null"), "");
  EXPECT_EQ(fill("bfloat16", "1.5"), FromHex("c03f"));
  EXPECT_EQ(fill("bfloat16", R"("NaN")"), FromHex("c07f"));
  EXPECT_EQ(fill("float32", R"("-Infinity")"), FromHex("000080ff"));
  EXPECT_EQ(fill("float64", R"("Infinity")"), FromHex("000000000000f07f"));
  EXPECT_EQ(fill("float16", R"("0x3c01")"), FromHex("013c"));
  EXPECT_EQ(fill("float8_e4m3fnuz", R"("0x80")"), FromHex("80"));
  EXPECT_EQ(fill("int16", "-2"), FromHex("feff"));
  EXPECT_EQ(fill("uint64", "18446744073709551615"), FromHex("ffffffffffffffff"));
  EXPECT_EQ(fill("int64", "-9223372036854775808"), FromHex("0000000000000080"));
  EXPECT_EQ(fill("bool", "true"), FromHex("01"));
  EXPECT_EQ(fill("int8", "-128"), FromHex("80"));
  EXPECT_EQ(fill("int4", "-8"), FromHex("f8"));
  EXPECT_EQ(fill("complex64", "[1.0,0]"), FromHex("0000803f00000000"));
  for (const auto& [dtype, value] :
       std::vector<std::pair<std::string, std::string>>{{"int8", "128"},
                                                        {"int8", "-129"},
                                                        {"int4", "8"},
                                                        {"uint8", "-1"},
                                                        {"int32", "1.5"},
                                                        {"int64", "9223372036854775808"},
                                                        {"bool", "2"},
                                                        {"float32", R"("nan")"},
                                                        {"float16", R"("0x3c")"},
                                                        {"float8_e4m3fnuz", "1.0"},
                                                        {"complex64", "[0.0]"},
                                                        {"complex64", "1.0"},
                                                        {"float32", "[]"}})
    EXPECT_THAT(fill(dtype, value), HasSubstr("a fill value that")) << dtype << " " << value;
}

TEST(ZarrMeta, RefusesByNameWhatIsNotRead) {
  EXPECT_THAT(V2Refusal("null", R"({"id":"blosc","cname":"lz4"})"), HasSubstr("\"blosc\""));
  EXPECT_THAT(V2Refusal(R"("C")", R"("F")"), HasSubstr("order \"F\""));
  EXPECT_THAT(V2Refusal(R"("filters":null)", R"("filters":[{"id":"delta"}])"),
              HasSubstr("filters"));
  EXPECT_THAT(V2Refusal(R"("|i1")", R"([["a","<i4"]])"), HasSubstr("structured"));
  EXPECT_THAT(V2Refusal("|i1", "<c16"), HasSubstr("\"<c16\" is unknown"));
  EXPECT_THAT(V3Refusal("bfloat16", "uint4"), HasSubstr("\"uint4\" is unknown"));
  EXPECT_THAT(V3Refusal(R"({"name":"crc32c"})", R"({"name":"blosc"})"), HasSubstr("\"blosc\""));
  EXPECT_THAT(V3Refusal(R"({"configuration":{"endian":"little"},"name":"bytes"},)", ""),
              HasSubstr("\"crc32c\" is not read at this place"));
  EXPECT_THAT(V3Refusal(R"({"name":"crc32c"})", R"({"name":"crc32c"},{"name":"zstd"})"),
              HasSubstr("\"zstd\" is not read at this place"));
  EXPECT_THAT(V3Refusal(R"({"configuration":{"endian":"little"},"name":"bytes"})",
                        R"({"name":"transpose"})"),
              HasSubstr("\"transpose\""));
  EXPECT_THAT(V3Refusal("regular", "rectilinear"), HasSubstr("\"name\" is not \"regular\""));
  EXPECT_THAT(V3Refusal(R"("default")", R"("hash")"), HasSubstr("\"hash\" is unknown"));
  EXPECT_THAT(V3Refusal(R"("node_type":"array")", R"("node_type":"group")"),
              HasSubstr("\"node_type\" is not \"array\""));
  EXPECT_THAT(V3Refusal("{", R"({"storage_transformers":[{"name":"x"}],)"),
              HasSubstr("storage transformers"));
  EXPECT_THAT(ShardRefusal(R"({"name":"crc32c"}])", R"({"name":"zstd"}])"),
              HasSubstr("compressed or big-endian shard index"));
}

TEST(ZarrMeta, RefusesEachDamage) {
  EXPECT_THAT(ErrorText(DecodeZarrMeta(ZarrForm::kV2, "[]")), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorText(DecodeZarrMeta(ZarrForm::kV2, "{")), HasSubstr("not JSON"));
  EXPECT_THAT(ErrorText(DecodeZarrMeta(ZarrForm::kV3, kV2)), HasSubstr("zarr_format is not 3"));
  EXPECT_THAT(V2Refusal("{", R"({"chunks":[1,1],)"), HasSubstr("\"chunks\" appears twice"));
  for (const char* key :
       {"chunks", "compressor", "dtype", "fill_value", "order", "shape", "zarr_format"})
    EXPECT_THAT(V2Refusal(key, "other"), HasSubstr(fmt::format("\"{}\" is missing", key)));
  for (const char* key : {"chunk_grid", "chunk_key_encoding", "codecs", "data_type", "fill_value",
                          "node_type", "shape\":[2,3]"}) {
    const std::string other = std::string(key).starts_with("shape") ? "other\":[2,3]" : "other";
    EXPECT_THAT(V3Refusal(key, other), HasSubstr("is missing")) << key;
  }
  EXPECT_THAT(V2Refusal("[2,3]", "[2,-3]"), HasSubstr("no unsigned integer"));
  EXPECT_THAT(V2Refusal("[2,3]", "[2,3.0]"), HasSubstr("no unsigned integer"));
  EXPECT_THAT(V2Refusal("[2,3]", "6"), HasSubstr("no list of extents"));
  EXPECT_THAT(V2Refusal("[2,3]", "[2]"), HasSubstr("a shape of rank 1 and chunks of rank 2"));
  EXPECT_THAT(V2Refusal("[2,2]", "[2,0]"), HasSubstr("a chunk of extent 0"));
  EXPECT_THAT(V2Refusal(R"(:".")", R"(:"-")"), HasSubstr("neither \".\" nor \"/\""));
  EXPECT_THAT(V3Refusal(R"("endian":"little")", R"("endian":"middle")"), HasSubstr("byte order"));
  EXPECT_THAT(V3Refusal(R"("configuration":{"endian":"little"},)", ""), HasSubstr("no byte order"));
  EXPECT_THAT(ShardRefusal(R"("chunk_shape":[2,2])", R"("chunk_shape":[3,2])"),
              HasSubstr("do not divide"));
  EXPECT_THAT(ShardRefusal(R"("chunk_shape":[2,2])", R"("chunk_shape":[0,2])"),
              HasSubstr("do not divide"));
  EXPECT_THAT(ShardRefusal(R"("chunk_shape":[2,2])", R"("chunk_shape":[4])"),
              HasSubstr("do not divide"));
}

TEST(ZarrMeta, RefusesSizesBeyondItsLimits) {
  const std::string rank33 = "[1" + std::string(64, ' ') + [] {
    std::string list;
    for (int i = 1; i < 33; ++i) list += ",1";
    return list;
  }() + "]";
  EXPECT_THAT(V2Refusal("[2,3]", rank33), HasSubstr("rank 33"));
  EXPECT_THAT(V2Refusal("[2,3]", "[4294967296,4294967296]"),
              HasSubstr("takes more than 16384 GiB"));
  EXPECT_THAT(V2Refusal("[2,3]", "[17592186044417,1]"), HasSubstr("takes more than 16384 GiB"));
  EXPECT_THAT(V2Refusal("[2,2]", "[8589934593,1]"), HasSubstr("take more than 8 GiB each"));
  EXPECT_THAT(V2Refusal("[2,3]", "[400000002,1]"), HasSubstr("more than 100000000 chunks"));
  const std::string huge = std::string(kZarrMaxMetaBytes, ' ') + std::string(kV2);
  EXPECT_THAT(ErrorText(DecodeZarrMeta(ZarrForm::kV2, huge)),
              HasSubstr("at most 1048576 are read"));
  std::string many = "[";
  for (int i = 0; i < 5000; ++i) many += i > 0 ? ",1" : "1";
  EXPECT_THAT(V2Refusal("[2,3]", many + "]"), HasSubstr("more than 4096 JSON values"));
}

TEST(ZarrMeta, NamesItsChunks) {
  const ZarrArrayMeta v2 = MakeZarrMeta(ZarrForm::kV2, DType::kI8, {5, 3, 20}, {2, 3, 1});
  const ZarrArrayMeta v3 = MakeZarrMeta(ZarrForm::kV3, DType::kI8, {5, 3, 20}, {2, 3, 1});
  EXPECT_EQ(ZarrGrid(v2), (Shape{3, 1, 20}));
  EXPECT_EQ(ZarrChunkBytes(v2), 6U);
  EXPECT_EQ(ZarrChunkKey(v2, 0), "0.0.0");
  EXPECT_EQ(ZarrChunkKey(v2, 59), "2.0.19");
  EXPECT_EQ(ZarrChunkKey(v3, 33), "c/1/0/13");
  EXPECT_EQ(ZarrChunkKey(MakeZarrMeta(ZarrForm::kV2, DType::kI8, {}, {}), 0), "0");
  EXPECT_EQ(ZarrChunkKey(MakeZarrMeta(ZarrForm::kV3, DType::kI8, {}, {}), 0), "c");
}

TEST(ZarrMeta, FindsAChunkByItsKeyAndByNoOther) {
  for (const ZarrForm form : {ZarrForm::kV2, ZarrForm::kV3}) {
    const ZarrArrayMeta meta = MakeZarrMeta(form, DType::kI8, {5, 3, 20}, {2, 3, 1});
    for (uint64_t number = 0; number < 60; ++number)
      EXPECT_EQ(ZarrChunkNumber(meta, ZarrChunkKey(meta, number)), number);
    const ZarrArrayMeta scalar = MakeZarrMeta(form, DType::kI8, {}, {});
    EXPECT_EQ(ZarrChunkNumber(scalar, ZarrChunkKey(scalar, 0)), 0U);
    EXPECT_EQ(ZarrChunkNumber(scalar, "1"), std::nullopt);
  }
  const ZarrArrayMeta v2 = MakeZarrMeta(ZarrForm::kV2, DType::kI8, {5, 3, 20}, {2, 3, 1});
  for (const char* key :
       {"", "0", "0.0", "0.0.0.0", "3.0.0", "0.1.0", "0.0.20", "00.0.0", "0.0.01", "-0.0.0", "0.0.",
        "0/0/0", ".zarray", "99999999999999999999.0.0", "+0.0.0"})
    EXPECT_EQ(ZarrChunkNumber(v2, key), std::nullopt) << key;
  const ZarrArrayMeta v3 = MakeZarrMeta(ZarrForm::kV3, DType::kI8, {5, 3, 20}, {2, 3, 1});
  for (const char* key : {"c", "c/0/0", "0/0/0", "c0/0/0", "c/0/0/0/", "c/0.0.0", "zarr.json"})
    EXPECT_EQ(ZarrChunkNumber(v3, key), std::nullopt) << key;
}

}  // namespace
}  // namespace ckpt
