#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/zip/archive.h"
#include "tests/unit/format/error_of.h"
#include "tests/unit/format/zip_builder.h"

namespace ckpt::zip {
namespace {

using ::testing::HasSubstr;

// All steps over a file in memory.
Result<std::vector<Record>> Decode(const std::string& file) {
  const std::string_view all = file;
  CKPT_TRY(
      const DirectoryPlace place,
      FindDirectory(all.substr(all.size() - std::min<size_t>(all.size(), kTailBytes)), all.size()));
  CKPT_TRY(std::vector<Record> records,
           DecodeDirectory(all.substr(place.range.begin, place.range.size()), place));
  for (Record& record : records) {
    const ByteRange range = LocalHeaderRange(record, place.range.begin);
    CKPT_TRY_VOID(PlaceRecord(all.substr(range.begin, range.size()), place.range.begin, record));
  }
  CKPT_TRY_VOID(CheckOverlap(records));
  return records;
}

void ExpectRefusal(const std::string& file, const std::string& words) {
  const auto records = Decode(file);
  ASSERT_FALSE(records);
  EXPECT_THAT(records.error().what, HasSubstr(words));
  EXPECT_EQ(records.error().code, Code::kBadInput);
  EXPECT_NE(PlaceOf(records, "byte"), "");
  EXPECT_FALSE(records.error().remedy.empty());
}

ZipBuilder Two() { return ZipBuilder().Add("a/data.pkl", "pickle").Add("a/data/0", "0123456789"); }

TEST(ZipDirectory, FindsDataBehindTheLocalHeadersOwnExtraField) {
  for (const bool end64 : {false, true}) {
    const std::string file = Two().Finish(end64);
    const auto records = Decode(file);
    ASSERT_TRUE(records) << ErrorText(records);
    ASSERT_EQ(records->size(), 2U);
    const Record& data = (*records)[1];
    EXPECT_EQ(data.name, "a/data/0");
    EXPECT_EQ(file.substr(data.data.begin, data.data.size()), "0123456789");
    EXPECT_EQ(data.crc32, 0xA684C7C6U);  // zlib.crc32(b"0123456789")
    EXPECT_EQ(data.method, Method::kStored);
  }
}

TEST(ZipDirectory, TakesSizesFromTheZip64Field) {
  ZipBuilder::Options options;
  options.is_zip64 = true;
  const auto records = Decode(ZipBuilder().Add("a", "x").Add("b", "0123", options).Finish());
  ASSERT_TRUE(records) << ErrorText(records);
  EXPECT_EQ((*records)[1].data.size(), 4U);
}

TEST(ZipDirectory, RefusesA4GibFieldWithoutZip64) {
  ZipBuilder::Options options;
  options.lacks_zip64 = true;
  ExpectRefusal(ZipBuilder().Add("a", "x", options).Finish(), "no zip64 field");
}

TEST(ZipDirectory, FindsTheEndBehindAComment) {
  EXPECT_TRUE(Decode(Two().Finish(false, "made by hand PK\5\6")));
  EXPECT_TRUE(Decode(Two().Finish(true, std::string(65535, 'c'))));
}

TEST(ZipDirectory, RefusesACommentThatDoesNotReachTheEnd) {
  ExpectRefusal(Two().Finish(false, "comment") + "more", "no end record");
  ExpectRefusal(Two().Finish(false).substr(0, 100), "no end record");
  ExpectRefusal("", "no end record");
}

TEST(ZipDirectory, RefusesALocatorThatPointsNowhere) {
  std::string file = Two().Finish();
  file[file.size() - 22 - 12] ^= 1;
  ExpectRefusal(file, "zip64 locator");
}

TEST(ZipDirectory, RefusesCountsThatTheDirectoryCannotHold) {
  ExpectRefusal(Two().Finish(true, "", 1000), "1000 entries");
  ExpectRefusal(Two().Finish(false, "", 1), "after the last entry");
  ExpectRefusal(Two().Finish(false, "", 0), "after the last entry");
}

TEST(ZipDirectory, RefusesADirectoryOutsideTheFile) {
  std::string file = Two().Finish(false);
  file[file.size() - 4] = '\x7f';  // its offset's third byte
  ExpectRefusal(file, "reaches beyond");
}

TEST(ZipDirectory, RefusesTwoRecordsOfOneName) {
  ExpectRefusal(Two().Add("a/data/0", "other").Finish(), "two records have the name a/data/0");
}

TEST(ZipDirectory, RefusesNamesThatAreNotUtf8OrDifferLocally) {
  ExpectRefusal(ZipBuilder().Add("\xff", "x").Finish(), "not UTF-8");
  ZipBuilder::Options options;
  options.local_name = "b";
  ExpectRefusal(ZipBuilder().Add("a", "x", options).Finish(), "another name");
  options.local_name = "longer";
  ExpectRefusal(ZipBuilder().Add("a", "x", options).Finish(), "another name");
}

TEST(ZipDirectory, RefusesRecordsThatOverlap) {
  ZipBuilder::Options options;
  options.size = 40;  // into the next one's header
  ExpectRefusal(ZipBuilder().Add("a", "x", options).Add("b", std::string(100, 'y')).Finish(),
                "begins inside record a");
  options = {};
  options.offset = 0;
  ExpectRefusal(ZipBuilder().Add("a", "x").Add("a", "x").Finish(), "two records");
}

TEST(ZipDirectory, RefusesDataBeyondTheDirectory) {
  ZipBuilder::Options options;
  options.size = 1000;
  ExpectRefusal(ZipBuilder().Add("a", "x", options).Finish(), "reach beyond byte");
  options = {};
  options.offset = 5000;
  ExpectRefusal(ZipBuilder().Add("a", "x", options).Finish(), "begins here, and it does not");
}

TEST(ZipDirectory, SaysWhichRecordsAreNotPlain) {
  ZipBuilder::Options deflated;
  deflated.method = 8;
  ZipBuilder::Options secret;
  secret.flags = 1;
  ZipBuilder::Options other;
  other.method = 12;
  const auto records = Decode(
      ZipBuilder().Add("a", "x", deflated).Add("b", "y", secret).Add("c", "z", other).Finish());
  ASSERT_TRUE(records) << ErrorText(records);
  EXPECT_EQ((*records)[0].method, Method::kDeflated);
  EXPECT_TRUE((*records)[1].is_encrypted);
  EXPECT_EQ((*records)[2].method, Method::kOther);
}

}  // namespace
}  // namespace ckpt::zip
