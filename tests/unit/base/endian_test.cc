#include "base/endian.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

TEST(Endian, WritesTheBytesThatItIsAskedFor) {
  std::string text = ">";
  AppendLittleEndian(text, 0x61626364, 4);
  AppendLittleEndian(text, 0x6566, 1);
  AppendBigEndian(text, 0x41424344, 4);
  AppendBigEndian(text, 0x4546, 1);
  AppendBigEndian(text, 0x47, 0);
  EXPECT_EQ(text, ">dcbafABCDF");
}

TEST(Endian, ReadsBackWhatItWrote) {
  for (const size_t bytes : {0U, 1U, 2U, 4U, 8U}) {
    const uint64_t value = bytes == 0 ? 0 : (UINT64_MAX - 0x80) >> (64 - 8 * bytes);
    std::string text;
    AppendLittleEndian(text, value, bytes);
    EXPECT_EQ(FromLittleEndian(std::as_bytes(std::span(text))), value) << bytes;
  }
}

}  // namespace
}  // namespace ckpt
