#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "format/ocdbt/manifest.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/format/ocdbt_builder.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

// uuid, kind, inline and node limits, arity, compression method.
constexpr std::string_view kConfigHex = "000102030405060708090a0b0c0d0e0f 00 8008 80808004 04 00";
// A table of one file, "d/nodes".
constexpr std::string_view kTableHex = "01 07 00 642f6e6f646573";
// One version: count, generation, height, file, offset, length, three sums, time; no version nodes.
constexpr std::string_view kVersionHex = "01 01 02 00 ac02 46 05 9003 f0a204 0100000000000000 00";

OcdbtConfig CountingConfig() {
  OcdbtConfig config;
  std::iota(config.uuid.begin(), config.uuid.end(), uint8_t{0});
  return config;
}

std::string Manifest(std::string_view config, std::string_view table, std::string_view rest) {
  return SealBody(kManifestMagicHex, FromHex(config) + FromHex(table) + FromHex(rest));
}
std::string Refusal(const std::string& manifest) {
  return ErrorText(DecodeOcdbtManifest(manifest));
}
std::string RefusalOf(std::string_view rest) {
  return Refusal(Manifest(kConfigHex, kTableHex, rest));
}

// The reference is another program's: tests/golden/orbax/make_ocdbt.py.
TEST(OcdbtManifest, IsWrittenAsTheReferenceWritesIt) {
  OcdbtVersion version;
  version.root_height = 2;
  version.file = {"", "d/nodes"};
  version.offset = 300;
  version.length = 70;
  version.statistics = {5, 400, 70000};
  EXPECT_EQ(EncodeOcdbtManifest(CountingConfig(), version),
            FromHex("0cdb3a2a4b000000000000000000000102030405060708090a0b0c0d0e0f0080088080800404"
                    "00010700642f6e6f64657301010200ac0246059003f0a2040100000000000000 00bb2f23dc"));
}

TEST(OcdbtManifest, OfAnEmptyTreeIsWrittenAsTheReferenceWritesIt) {
  const std::string manifest = EncodeOcdbtManifest(CountingConfig(), OcdbtVersion());
  EXPECT_EQ(manifest,
            FromHex("0cdb3a2a52000000000000000000000102030405060708090a0b0c0d0e0f008008808080040400"
                    "01000001010000ffffffffffffffffff01ffffffffffffffffff01000000010000000000000000"
                    "a69f67b7"));
  const auto back = DecodeOcdbtManifest(manifest);
  ASSERT_TRUE(back) << ErrorText(back);
  EXPECT_TRUE(back->latest->is_empty());
}

TEST(OcdbtManifest, IsReadBack) {
  OcdbtConfig config = CountingConfig();
  config.zstd_level = -3;
  OcdbtVersion version;
  version.generation = 7;
  version.file = {"base/", "d/f"};
  version.offset = 1ULL << 40U;
  version.length = 9;
  version.statistics = {1, 9, 0};
  version.commit_time_ns = 1795557631177838545;
  const auto back = DecodeOcdbtManifest(EncodeOcdbtManifest(config, version));
  ASSERT_TRUE(back) << ErrorText(back);
  EXPECT_EQ(back->config, config);
  EXPECT_EQ(back->latest, version);
}

TEST(OcdbtManifest, GivesTheLastOfSeveralVersions) {
  const auto manifest = DecodeOcdbtManifest(
      Manifest(kConfigHex, kTableHex,
               "02 0102 0000 0000 0a0b 0c0d 0102 0c0d 0000 0100000000000000 0200000000000000 00"));
  ASSERT_TRUE(manifest) << ErrorText(manifest);
  EXPECT_EQ(manifest->latest->generation, 2U);
  EXPECT_EQ(manifest->latest->offset, 11U);
  EXPECT_EQ(manifest->latest->length, 13U);
  EXPECT_EQ(manifest->latest->commit_time_ns, 2U);
}

TEST(OcdbtManifest, OfTheNumberedKindHasNoVersion) {
  const auto manifest = DecodeOcdbtManifest(
      Manifest("000102030405060708090a0b0c0d0e0f 01 8008 80808004 04 00", "", ""));
  ASSERT_TRUE(manifest) << ErrorText(manifest);
  EXPECT_FALSE(manifest->latest);
}

TEST(OcdbtManifest, ReadsACompressedBody) {
  // 300 versions would be too many: a file's path of 300 bytes makes the body long enough.
  std::string body =
      FromHex(kConfigHex) + FromHex("01 ac02 00") + std::string(300, 'f') + FromHex(kVersionHex);
  const auto manifest = DecodeOcdbtManifest(
      SealBody(kManifestMagicHex, StoredFrame(body), std::string_view("\0\1", 2)));
  ASSERT_TRUE(manifest) << ErrorText(manifest);
  EXPECT_EQ(manifest->latest->file.relative, std::string(300, 'f'));
  // What follows the frame is refused.
  EXPECT_THAT(
      Refusal(SealBody(kManifestMagicHex, StoredFrame(body) + "x", std::string_view("\0\1", 2))),
      HasSubstr("1 bytes follow the zstd frame"));
  EXPECT_THAT(Refusal(SealBody(kManifestMagicHex, StoredFrame(body).substr(0, 200),
                               std::string_view("\0\1", 2))),
              HasSubstr("truncated"));
}

TEST(OcdbtManifest, RefusesEachDamageOfItsEnvelope) {
  const std::string good = Manifest(kConfigHex, kTableHex, kVersionHex);
  ASSERT_TRUE(DecodeOcdbtManifest(good));
  EXPECT_THAT(Refusal(good.substr(0, 15)), HasSubstr("the least are 16"));
  EXPECT_THAT(Refusal("x" + good.substr(1)), HasSubstr("not an OCDBT manifest: it begins with 78"));
  EXPECT_THAT(Refusal(good.substr(0, good.size() - 1)), HasSubstr("says that it has"));
  EXPECT_THAT(Refusal(good + "x"), HasSubstr("says that it has"));
  for (size_t byte = 12; byte < good.size(); ++byte) {
    std::string damaged = good;
    damaged[byte] = static_cast<char>(damaged[byte] ^ 0x10);
    EXPECT_THAT(Refusal(damaged), HasSubstr("checksum (CRC-32C)")) << byte;
  }
  const std::string body = BodyOf(good);
  EXPECT_THAT(Refusal(SealBody(kManifestMagicHex, body, std::string_view("\1\0", 2))),
              HasSubstr("format version 1 is unknown"));
  EXPECT_THAT(Refusal(SealBody(kManifestMagicHex, body, std::string_view("\0\2", 2))),
              HasSubstr("compression method 2 is unknown"));
}

TEST(OcdbtManifest, RefusesEachDamageOfItsBody) {
  EXPECT_THAT(Refusal(Manifest("000102030405060708090a0b0c0d0e0f 02 8008 80808004 04 00", "", "")),
              HasSubstr("manifest kind 2"));
  EXPECT_THAT(Refusal(Manifest("000102030405060708090a0b0c0d0e0f 01 8008 80808004 00 00", "", "")),
              HasSubstr("arity of 2^0"));
  EXPECT_THAT(Refusal(Manifest("000102030405060708090a0b0c0d0e0f 01 8008 80808004 11 00", "", "")),
              HasSubstr("arity of 2^17"));
  EXPECT_THAT(Refusal(Manifest("000102030405060708090a0b0c0d0e0f 01 8008 80808004 04 02", "", "")),
              HasSubstr("compression method 2"));
  EXPECT_THAT(
      Refusal(Manifest("000102030405060708090a0b0c0d0e0f 01 ffffffff1f 80808004 04 00", "", "")),
      HasSubstr("more than 32 bits"));
  EXPECT_THAT(RefusalOf("00"), HasSubstr("0 versions, of 1 to 16"));
  EXPECT_THAT(RefusalOf("11 01"), HasSubstr("17 versions, of 1 to 16"));
  EXPECT_THAT(RefusalOf("02 01"), HasSubstr("cannot fit"));
  EXPECT_THAT(RefusalOf("01 00 02 00 ac02 46 05 9003 f0a204 0100000000000000 00"),
              HasSubstr("generation numbers"));
  EXPECT_THAT(
      RefusalOf("02 0201 0000 0000 0a0b 0c0d 0102 0c0d 0000 0100000000000000 0200000000000000 00"),
      HasSubstr("generation numbers"));
  // 16 is the last of its group, 17 the first of the next.
  EXPECT_THAT(
      RefusalOf("02 1011 0000 0000 0a0b 0c0d 0102 0c0d 0000 0100000000000000 0200000000000000 00"),
      HasSubstr("later group"));
  EXPECT_THAT(RefusalOf("01 01 02 01 ac02 46 05 9003 f0a204 0100000000000000 00"),
              HasSubstr("data file 1 of 1"));
  EXPECT_THAT(RefusalOf("01 01 02 00 ffffffffffffffff7f 46 05 9003 f0a204 0100000000000000 00"),
              HasSubstr("a root node at byte 9223372036854775807"));
  EXPECT_THAT(RefusalOf("01 01 00 00 ffffffffffffffffff01 ffffffffffffffffff01 01 00 00 "
                        "0100000000000000 00"),
              HasSubstr("an empty tree"));
  EXPECT_THAT(RefusalOf("01 01 02 00 ac02 46 05 9003 f0a204 0100000000000000 0f"),
              HasSubstr("15 version tree nodes"));
  EXPECT_THAT(RefusalOf("01 01 02 00 ac02 46 05 9003 f0a204 0100000000000000 00 00"),
              HasSubstr("1 bytes follow the end"));
  EXPECT_THAT(RefusalOf("01 01 02 00 ac02 46 05 9003 f0a204 01000000"),
              HasSubstr("truncated: 8 bytes are needed"));
}

TEST(OcdbtManifest, ReadsAndChecksVersionTreeNodes) {
  // Generation 17, with one node for 1 to 16.
  const std::string good =
      "01 11 00 00 05 06 01 06 00 0100000000000000 01 10 00 00 05 10 0100000000000000 00";
  EXPECT_TRUE(DecodeOcdbtManifest(Manifest(kConfigHex, kTableHex, good))) << RefusalOf(good);
  EXPECT_THAT(
      RefusalOf(
          "01 11 00 00 05 06 01 06 00 0100000000000000 01 11 00 00 05 10 0100000000000000 00"),
      HasSubstr("generation numbers of version tree nodes"));
  EXPECT_THAT(
      RefusalOf(
          "01 11 00 00 05 06 01 06 00 0100000000000000 01 10 01 00 05 10 0100000000000000 00"),
      HasSubstr("a data file that is not in the table"));
  EXPECT_THAT(RefusalOf("01 11 00 00 05 06 01 06 00 0100000000000000 02 0810 0000 0000 0505 0808 "
                        "0100000000000000 0100000000000000 0000"),
              HasSubstr("heights of version tree nodes"));
}

TEST(OcdbtManifest, RefusesEachDamageOfItsFileTable) {
  const auto refusal = [](std::string_view table) {
    return Refusal(Manifest(kConfigHex, table, kVersionHex));
  };
  EXPECT_THAT(refusal("02 05 04 04 00 00 61626364 61626364"),
              HasSubstr("a prefix is longer than the path before"));
  // "aa/b" with base 3, then "aab" without one, sharing 2 bytes with it.
  EXPECT_THAT(refusal("02 02 04 01 03 00 61612f62 62"), HasSubstr("runs past a base path"));
  EXPECT_THAT(refusal("01 02 03 6162"), HasSubstr("a path of a wrong length"));
  EXPECT_THAT(refusal("ffffffffffffffffff01"), HasSubstr("cannot fit"));
  EXPECT_THAT(refusal("ffffffffffffffffff03"), HasSubstr("more than 64 bits"));
  EXPECT_THAT(refusal("01 808004 00 61"), HasSubstr("more than 16 bits"));
}

TEST(OcdbtManifest, NamesTheByteOfADefect) {
  const auto decoded = DecodeOcdbtManifest(Manifest(kConfigHex, kTableHex, "00"));
  // 14 of the envelope, 25 settings, 10 of the table, the count itself.
  EXPECT_EQ(PlaceOf(decoded, "byte"), "50");
}

}  // namespace
}  // namespace ckpt
