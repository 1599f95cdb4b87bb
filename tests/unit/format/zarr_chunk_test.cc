#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "format/compress/compress.h"
#include "format/zarr/chunk.h"
#include "tests/unit/format/compressed.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/format/hex.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

ZarrArrayMeta Meta(DType dtype, const Shape& chunk, ZarrCodecs codecs = {}) {
  ZarrArrayMeta meta = MakeZarrMeta(ZarrForm::kV3, dtype, chunk, chunk);
  meta.codecs = codecs;
  return meta;
}

// The elements as they come out, or the error.
std::string Decoded(const ZarrArrayMeta& meta, std::string_view stored) {
  std::string out(ZarrChunkBytes(meta), '?');
  std::vector<std::byte> scratch(ChunkScratchBytes(meta));
  const auto decoded =
      DecodeChunk(meta, Bytes(stored), std::as_writable_bytes(std::span(out)), scratch);
  return decoded ? out : decoded.error().Print();
}

TEST(ZarrChunk, PlainIsTakenAsItIs) {
  EXPECT_EQ(Decoded(Meta(DType::kI8, {2, 3}), "abcdef"), "abcdef");
  EXPECT_EQ(Decoded(Meta(DType::kI64, {}), "12345678"), "12345678");
  EXPECT_THAT(Decoded(Meta(DType::kI8, {2, 3}), "abcde"),
              HasSubstr("has 5 bytes of elements, not 6"));
  EXPECT_THAT(Decoded(Meta(DType::kI8, {2, 3}), "abcdefg"), HasSubstr("has 7 bytes"));
}

// The reference is another program's: tests/golden/orbax/make_ocdbt.py.
TEST(ZarrChunk, HasTheChecksumOfTheReference) {
  const ZarrArrayMeta meta = Meta(DType::kBF16, {2, 2}, {.has_crc32c = true});
  const std::string stored = FromHex("0000010003000400 7631b04f");
  EXPECT_EQ(Decoded(meta, stored), stored.substr(0, 8));
}

TEST(ZarrChunk, EveryFlippedBitOfACheckedChunkIsNoticed) {
  const ZarrArrayMeta meta = Meta(DType::kBF16, {2, 2}, {.has_crc32c = true});
  const std::string stored = FromHex("0000010003000400 7631b04f");
  for (size_t bit = 0; bit < 8 * stored.size(); ++bit) {
    std::string damaged = stored;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_THAT(Decoded(meta, damaged), HasSubstr("checksum (CRC-32C)")) << bit;
  }
  EXPECT_THAT(Decoded(meta, "abc"), HasSubstr("truncated"));
}

TEST(ZarrChunk, IsDecompressed) {
  const std::string text(64, 'x');
  const Shape chunk{8, 8};
  EXPECT_EQ(Decoded(Meta(DType::kI8, chunk, {.compression = Compression::kZstd}), Zstd(text)),
            text);
  EXPECT_EQ(
      Decoded(Meta(DType::kI8, chunk, {.compression = Compression::kZlib}), Deflated(text, 15)),
      text);
  EXPECT_EQ(
      Decoded(Meta(DType::kI8, chunk, {.compression = Compression::kGzip}), Deflated(text, 31)),
      text);
  EXPECT_EQ(
      Decoded(Meta(DType::kI8, chunk, {.compression = Compression::kZstd, .has_crc32c = true}),
              WithCrc(Zstd(text))),
      text);
}

TEST(ZarrChunk, MustDecompressToItsExactSize) {
  for (const Compression kind : {Compression::kZstd, Compression::kZlib, Compression::kGzip}) {
    const auto make = [&](size_t size) {
      const std::string text(size, 'x');
      if (kind == Compression::kZstd) return Zstd(text);
      return Deflated(text, kind == Compression::kZlib ? 15 : 31);
    };
    const ZarrArrayMeta meta = Meta(DType::kI8, {64}, {.compression = kind});
    EXPECT_THAT(Decoded(meta, make(65)), HasSubstr("decodes to more than 64 bytes"));
    EXPECT_THAT(Decoded(meta, make(100000)), HasSubstr("decodes to more than 64 bytes"));
    EXPECT_THAT(Decoded(meta, make(63)), HasSubstr("decodes to 63 bytes, not to 64"));
    EXPECT_THAT(Decoded(meta, make(64) + "x"), HasSubstr("1 bytes follow"));
    const std::string good = make(64);
    for (size_t size = 0; size < good.size(); ++size)
      EXPECT_THAT(Decoded(meta, good.substr(0, size)), HasSubstr("exit 65")) << size;
  }
}

TEST(ZarrChunk, EveryFlippedBitOfAFrameWithAChecksumIsNoticed) {
  std::string text(64, '\0');
  std::iota(text.begin(), text.end(), '0');
  const ZarrArrayMeta meta = Meta(DType::kI8, {64}, {.compression = Compression::kZstd});
  const std::string stored = Zstd(text);
  for (size_t bit = 0; bit < 8 * stored.size(); ++bit) {
    std::string damaged = stored;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const std::string out = Decoded(meta, damaged);
    // Bits that say nothing (whether a size is written) may give the same elements, never others.
    if (out != text) {
      EXPECT_THAT(out, HasSubstr("exit 65")) << bit;
    }
  }
}

TEST(ZarrChunk, IsTurnedToLittleEndian) {
  EXPECT_EQ(Decoded(Meta(DType::kI16, {2}, {.is_big_endian = true}), "abcd"), "badc");
  EXPECT_EQ(Decoded(Meta(DType::kC64, {1}, {.is_big_endian = true}), "abcdefgh"), "dcbahgfe");
}

TEST(ZarrChunk, Int4AndInt2AreTheLowBitsWithTheirSign) {
  EXPECT_EQ(Decoded(Meta(DType::kI4, {4}), FromHex("07f80f18")), FromHex("07f8fff8"));
  EXPECT_EQ(Decoded(Meta(DType::kI2, {4}), FromHex("0001feff")), FromHex("0001feff"));
  EXPECT_EQ(Decoded(Meta(DType::kI2, {4}), FromHex("00010203")), FromHex("0001feff"));
}

// --- shards

// Inner chunks of one row of two bytes, in a chunk of three rows.
ZarrArrayMeta Shard(bool is_at_end = true, bool has_crc = true) {
  ZarrArrayMeta meta = Meta(DType::kI8, {3, 2});
  meta.sharding = ZarrSharding{{1, 2}, {}, has_crc, is_at_end};
  return meta;
}
std::string Entry(uint64_t offset, uint64_t length) {
  std::string entry;
  for (const uint64_t value : {offset, length}) {
    for (uint32_t i = 0; i < 8; ++i)
      entry += static_cast<char>(static_cast<unsigned char>(value >> (8U * i)));
  }
  return entry;
}
const std::string kAbsent(16, '\xff');

TEST(ZarrShard, IsDecodedAsTheReferenceWritesIt) {
  ZarrArrayMeta meta = Meta(DType::kF16, {4, 2});
  meta.sharding = ZarrSharding{{2, 2}, {}, true, true};
  const std::string stored = FromHex(
      "00000100020003000400050006000700000000000000000008000000000000000800000000000000080000000000"
      "000012a46c81");
  EXPECT_EQ(Decoded(meta, stored), stored.substr(0, 16));
}

TEST(ZarrShard, PutsInnerChunksInAnyOrderInTheirPlace) {
  EXPECT_EQ(Decoded(Shard(), "efabcd" + WithCrc(Entry(2, 2) + Entry(4, 2) + Entry(0, 2))),
            "abcdef");
  // A grid of 2 x 2 inner chunks of 2 x 2.
  ZarrArrayMeta square = Meta(DType::kI8, {4, 4});
  square.sharding = ZarrSharding{{2, 2}, {}, false, true};
  EXPECT_EQ(
      Decoded(square, "aaaabbbbccccdddd" + Entry(0, 4) + Entry(4, 4) + Entry(8, 4) + Entry(12, 4)),
      "aabbaabbccddccdd");
  // Three axes: the middle one is cut.
  ZarrArrayMeta cube = Meta(DType::kI8, {2, 2, 2});
  cube.sharding = ZarrSharding{{2, 1, 2}, {}, false, true};
  EXPECT_EQ(Decoded(cube, "abefcdgh" + Entry(0, 4) + Entry(4, 4)), "abcdefgh");
}

TEST(ZarrShard, MayHaveItsIndexInFront) {
  EXPECT_EQ(Decoded(Shard(false, false), Entry(48, 2) + Entry(50, 2) + Entry(52, 2) + "abcdef"),
            "abcdef");
}

TEST(ZarrShard, GivesTheFillValueForWhatIsAbsent) {
  ZarrArrayMeta meta = Shard();
  meta.fill = "!";
  EXPECT_EQ(Decoded(meta, "cd" + WithCrc(kAbsent + Entry(0, 2) + kAbsent)), "!!cd!!");
  meta = Meta(DType::kI16, {1, 2});
  meta.sharding = ZarrSharding{{1, 1}, {.is_big_endian = true}, true, true};
  meta.fill = "12";
  EXPECT_EQ(Decoded(meta, "ab" + WithCrc(Entry(0, 2) + kAbsent)), "ba12");
}

TEST(ZarrShard, OfRank0HasOneInnerChunk) {
  ZarrArrayMeta meta = Meta(DType::kI16, {});
  meta.sharding = ZarrSharding{{}, {}, true, true};
  EXPECT_EQ(Decoded(meta, "ab" + WithCrc(Entry(0, 2))), "ab");
}

TEST(ZarrShard, RefusesEachDamageOfItsIndex) {
  const std::string index = Entry(0, 2) + Entry(2, 2) + Entry(4, 2);
  EXPECT_EQ(Decoded(Shard(), "abcdef" + WithCrc(index)), "abcdef");
  EXPECT_THAT(Decoded(Shard(), "abcdef" + index), HasSubstr("shard index: a chunk's checksum"));
  EXPECT_THAT(Decoded(Shard(), index), HasSubstr("no room for its index of 52"));
  EXPECT_THAT(Decoded(Shard(), "abcdef" + WithCrc(Entry(0, 2) + Entry(2, 2) + Entry(57, 2))),
              HasSubstr("inner chunk 2 has 2 bytes at byte 57 of 58"));
  EXPECT_THAT(
      Decoded(Shard(), "abcdef" + WithCrc(Entry(0, 2) + Entry(2, 2) + Entry(UINT64_MAX, 2))),
      HasSubstr("at byte 18446744073709551615"));
  EXPECT_THAT(Decoded(Shard(), "abcdef" + WithCrc(Entry(0, 2) + Entry(2, 1) + Entry(4, 2))),
              HasSubstr("has 1 bytes of elements, not 2"));
}

TEST(Zstd, OfUnknownSizeIsDecodedUpToALimit) {
  const std::string text(1000000, 'x');
  const std::string frame = Zstd(text);
  EXPECT_EQ(*DecompressZstd(frame, text.size()), text);
  EXPECT_THAT(ErrorText(DecompressZstd(frame, text.size() - 1)),
              HasSubstr("more than 999999 bytes"));
  EXPECT_THAT(ErrorText(DecompressZstd(frame.substr(0, frame.size() - 1), text.size())),
              HasSubstr("has no end"));
  EXPECT_THAT(ErrorText(DecompressZstd(frame + frame, text.size())),
              HasSubstr("follow the zstd frame"));
  EXPECT_THAT(ErrorText(DecompressZstd("", 10)), HasSubstr("has no end"));
  EXPECT_EQ(*DecompressZstd(Zstd(""), 0), "");
}

}  // namespace
}  // namespace ckpt
