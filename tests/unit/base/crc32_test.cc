#include "base/crc32.h"

#include <gtest/gtest.h>

#include <string>

namespace ckpt {
namespace {

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Crc32, AgreesWithZlibsVectors) {
  EXPECT_EQ(Crc32::Of(Bytes("123456789")).value(), 0xCBF43926U);
  EXPECT_EQ(Crc32::Of({}).value(), 0U);
  EXPECT_EQ(Crc32::Of(Bytes(std::string(32, '\0'))).value(), 0x190A55ADU);
}

TEST(Crc32, IsTheSameInPiecesAndJoined) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7 % 251);
  const Crc32 whole = Crc32::Of(Bytes(text));
  for (const size_t cut : {0U, 1U, 7U, 500U, 999U, 1000U}) {
    const std::string_view front = std::string_view(text).substr(0, cut);
    const std::string_view back = std::string_view(text).substr(cut);
    Crc32 appended = Crc32::Of(Bytes(front));
    appended.Append(Bytes(back));
    EXPECT_EQ(appended, whole) << cut;
    Crc32 joined = Crc32::Of(Bytes(front));
    joined.Append(Crc32::Of(Bytes(back)));
    EXPECT_EQ(joined, whole) << cut;
  }
}

}  // namespace
}  // namespace ckpt
