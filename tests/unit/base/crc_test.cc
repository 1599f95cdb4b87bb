#include "base/crc.h"

#include <gtest/gtest.h>

#include <string>

#include "base/crc32.h"
#include "base/crc32c.h"

namespace ckpt {
namespace {

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Crc32, AgreesWithZlibsVectors) {
  EXPECT_EQ(Crc32::Of(Bytes("123456789")).value(), 0xCBF43926U);
  EXPECT_EQ(Crc32::Of({}).value(), 0U);
  EXPECT_EQ(Crc32::Of(Bytes(std::string(32, '\0'))).value(), 0x190A55ADU);
}

TEST(Crc32c, AgreesWithTheStandardsVectors) {
  EXPECT_EQ(Crc32c::Of(Bytes("123456789")).value(), 0xE3069283U);
  EXPECT_EQ(Crc32c::Of({}).value(), 0U);
  // RFC 3720, B.4.
  EXPECT_EQ(Crc32c::Of(Bytes(std::string(32, '\0'))).value(), 0x8A9136AAU);
  EXPECT_EQ(Crc32c::Of(Bytes(std::string(32, '\xff'))).value(), 0x62A8AB43U);
}

template <typename Crc>
class AnyCrc : public ::testing::Test {};
using Crcs = ::testing::Types<Crc32, Crc32c>;
TYPED_TEST_SUITE(AnyCrc, Crcs);

TYPED_TEST(AnyCrc, IsTheSameInPiecesAndJoined) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7 % 251);
  const TypeParam whole = TypeParam::Of(Bytes(text));
  for (const size_t cut : {0U, 1U, 7U, 8U, 500U, 999U, 1000U}) {
    const std::string_view front = std::string_view(text).substr(0, cut);
    const std::string_view back = std::string_view(text).substr(cut);
    TypeParam appended = TypeParam::Of(Bytes(front));
    appended.Append(Bytes(back));
    EXPECT_EQ(appended, whole) << cut;
    TypeParam joined = TypeParam::Of(Bytes(front));
    joined.Append(TypeParam::Of(Bytes(back)));
    EXPECT_EQ(joined, whole) << cut;
  }
}

}  // namespace
}  // namespace ckpt
