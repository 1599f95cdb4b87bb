#include "base/message_digest.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

TEST(Sha256, AgreesWithTheStandardsVectors) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, IsTheSameInPieces) {
  Sha256 sha;
  sha.Update("a");
  sha.Update("");
  sha.Update("bc");
  EXPECT_EQ(sha.Finish(), Sha256Hex("abc"));
}

TEST(Md5, AgreesWithTheStandardsVectors) {
  EXPECT_EQ(Md5Hex(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(Md5Hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
}

TEST(Md5, GivesTheSumsBytes) {
  Md5 md5;
  md5.Update("abc");
  const std::string sum = md5.Finish();
  ASSERT_EQ(sum.size(), 16U);
  EXPECT_EQ(static_cast<unsigned char>(sum.front()), 0x90U);
  EXPECT_EQ(static_cast<unsigned char>(sum.back()), 0x72U);
}

}  // namespace
}  // namespace ckpt
