#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace ckpt {
namespace {

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Crc32c, AgreesWithTheStandardsVectors) {
  EXPECT_EQ(Crc32c::Of(Bytes("123456789")).value(), 0xE3069283U);
  EXPECT_EQ(Crc32c::Of({}).value(), 0U);
  // RFC 3720, B.4.
  EXPECT_EQ(Crc32c::Of(Bytes(std::string(32, '\0'))).value(), 0x8A9136AAU);
  EXPECT_EQ(Crc32c::Of(Bytes(std::string(32, '\xff'))).value(), 0x62A8AB43U);
}

TEST(Crc32c, IsTheSameInPiecesAndJoined) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7 % 251);
  const Crc32c whole = Crc32c::Of(Bytes(text));
  for (const size_t cut : {0U, 1U, 7U, 8U, 500U, 999U, 1000U}) {
    const std::string_view front = std::string_view(text).substr(0, cut);
    const std::string_view back = std::string_view(text).substr(cut);
    Crc32c appended = Crc32c::Of(Bytes(front));
    appended.Append(Bytes(back));
    EXPECT_EQ(appended, whole) << cut;
    Crc32c joined = Crc32c::Of(Bytes(front));
    joined.Append(Crc32c::Of(Bytes(back)));
    EXPECT_EQ(joined, whole) << cut;
  }
}

}  // namespace
}  // namespace ckpt
