#include "base/units.h"

#include <gtest/gtest.h>

namespace ckpt {
namespace {

TEST(FormatBytes, UsesDecimalUnitsWithOneDigit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1000), "1.0 kB");
  EXPECT_EQ(FormatBytes(983600000), "983.6 MB");
  EXPECT_EQ(FormatBytes(999999), "1.0 MB");  // never "1000.0 kB"
  EXPECT_EQ(FormatBytes(999949), "999.9 kB");
  EXPECT_EQ(FormatBytes(812000000000), "812.0 GB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "18446744.1 TB");
}

TEST(FormatMemory, UsesBinaryUnitsWhereExact) {
  EXPECT_EQ(FormatMemory(256 * kMiB), "256 MiB");
  EXPECT_EQ(FormatMemory(3 * kGiB), "3 GiB");
  EXPECT_EQ(FormatMemory(3 * kMiB / 2), "1.5 MiB");
  EXPECT_EQ(FormatMemory(1000), "1.0 kB");
}

TEST(FormatRate, IsBytesPerSecond) {
  EXPECT_EQ(FormatRate(1250000000.0), "1.2 GB/s");
  EXPECT_EQ(FormatRate(-1), "0 B/s");
}

TEST(FormatDuration, ShowsHoursOnlyFromOneHourOn) {
  EXPECT_EQ(FormatDuration(0.2), "0:00");
  EXPECT_EQ(FormatDuration(42), "0:42");
  EXPECT_EQ(FormatDuration(785), "13:05");
  EXPECT_EQ(FormatDuration(3599.6), "1:00:00");
  EXPECT_EQ(FormatDuration(7650), "2:07:30");
}

TEST(ParseBytes, ReadsBinaryAndDecimalUnits) {
  EXPECT_EQ(ParseBytes("256MiB"), 256 * kMiB);
  EXPECT_EQ(ParseBytes("1.5GiB"), 3 * kGiB / 2);
  EXPECT_EQ(ParseBytes("4GB"), 4000000000U);
  EXPECT_EQ(ParseBytes("100M"), 100 * kMiB);
  EXPECT_EQ(ParseBytes("1048576"), kMiB);
  EXPECT_EQ(ParseBytes("16 GiB"), 16 * kGiB);
  EXPECT_EQ(ParseBytes("0"), 0U);
  EXPECT_EQ(ParseBytes("2TB"), 2000000000000U);
  EXPECT_EQ(ParseBytes("2T"), 2048 * kGiB);
}

TEST(ParseBytes, RefusesWhatIsNoSize) {
  for (const char* text :
       {"", "MiB", "-1", "1XB", "1 MiB x", "inf", "nan", "1e30GiB", "10000000TiB", " 1"}) {
    const auto bytes = ParseBytes(text);
    ASSERT_FALSE(bytes) << text;
    EXPECT_EQ(bytes.error().code, Code::kUsage) << text;
  }
}

}  // namespace
}  // namespace ckpt
