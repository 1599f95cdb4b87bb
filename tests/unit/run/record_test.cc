#include "run/record.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

const std::string kDigest(64, 'a');

std::vector<std::byte> Bytes(size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7);
  return bytes;
}

BundleRecord Example(size_t side_bytes) {
  return {7,
          {{3, 4096, Crc32c(0x12345678, 99)}, {4, 0, Crc32c(1, 2)}},
          {{128, Bytes(side_bytes)}, {1ULL << 40, Bytes(5), 2, 9}},
          {{1, 17, 1ULL << 33, 4096, 4100, 0xdeadbeef}}};
}

TEST(Record, ComesBackWhole) {
  for (const size_t side_bytes :
       {size_t{0}, size_t{100}, size_t{(64 << 10) - 5}, size_t{64 << 10}, size_t{1 << 20}}) {
    const BundleRecord record = Example(side_bytes);
    const EncodedRecord encoded = EncodeRecord(record, kDigest);
    EXPECT_EQ(HasSideFile(encoded.record), side_bytes + 5 > kMostInlineSideBytes);
    EXPECT_EQ(encoded.side_file.empty(), !HasSideFile(encoded.record));
    const auto decoded = DecodeRecord(encoded.record, encoded.side_file, kDigest);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->number, 7U);
    ASSERT_EQ(decoded->parts.size(), 2U);
    EXPECT_EQ(decoded->parts[0].crc, record.parts[0].crc);
    EXPECT_EQ(decoded->parts[0].offset_bytes, 4096U);
    ASSERT_EQ(decoded->sides.size(), 2U);
    EXPECT_EQ(decoded->sides[0].bytes, record.sides[0].bytes);
    EXPECT_EQ(decoded->sides[1].file_offset, 1ULL << 40);
    EXPECT_EQ(decoded->sides[1].output, 2U);
    EXPECT_EQ(decoded->sides[1].array, 9U);
    ASSERT_EQ(decoded->chunks.size(), 1U);
    EXPECT_EQ(decoded->chunks[0].array, 17U);
    EXPECT_EQ(decoded->chunks[0].chunk, 1ULL << 33);
    EXPECT_EQ(decoded->chunks[0].length, 4100U);
    EXPECT_EQ(decoded->chunks[0].crc32c, 0xdeadbeefU);
  }
}

TEST(Record, TellsAllButSideValuesWithoutTheirFile) {
  for (const size_t side_bytes : {size_t{100}, size_t{1 << 20}}) {
    const BundleRecord record = Example(side_bytes);
    const auto decoded = DecodeRecord(EncodeRecord(record, kDigest).record, std::nullopt, kDigest);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->parts, record.parts);
    EXPECT_EQ(decoded->chunks, record.chunks);
    ASSERT_EQ(decoded->sides.size(), 2U);
    EXPECT_EQ(decoded->sides[1].file_offset, 1ULL << 40);
    EXPECT_EQ(decoded->sides[0].bytes.empty(), side_bytes > kMostInlineSideBytes);
  }
}

TEST(Record, RefusesEveryFlippedBitAndEveryCut) {
  const EncodedRecord encoded = EncodeRecord(Example(40), kDigest);
  for (size_t i = 0; i < encoded.record.size(); ++i) {
    std::string damaged = encoded.record;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_FALSE(DecodeRecord(damaged, "", kDigest)) << i;
    EXPECT_FALSE(DecodeRecord(encoded.record.substr(0, i), "", kDigest)) << i;
  }
}

TEST(Record, RefusesAnotherRunsRecordAndAnotherSideFile) {
  const EncodedRecord encoded = EncodeRecord(Example(1 << 20), kDigest);
  EXPECT_FALSE(DecodeRecord(encoded.record, encoded.side_file, std::string(64, 'b')));
  EXPECT_FALSE(DecodeRecord(encoded.record, "", kDigest));
  EXPECT_FALSE(DecodeRecord(encoded.record, encoded.side_file + "x", kDigest));
}

}  // namespace
}  // namespace ckpt
