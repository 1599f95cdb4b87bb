// Objects whose store knows their CRC-32C, held to it by what is read of them.
#include "source/source_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "source/reader_pool.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

using ::testing::HasSubstr;

// An object of 3 MB, of which the last two are one tensor.
class ObjectChecks : public ::testing::Test {
 protected:
  static constexpr uint64_t kHeader = 1'000'000, kSize = 3'000'000;

  ObjectChecks() {
    for (uint64_t i = 0; i < kSize; ++i) bytes_ += static_cast<char>(i * 37 % 253);
    store_.Put("a", bytes_);
    catalog_.root = store_.root();
    catalog_.objects = {*store_.Stat("a")};
    catalog_.objects[0].crc32c = Crc32c::Of(std::as_bytes(std::span(bytes_)));
    catalog_.tensors = {
        ContiguousEntry("t", DType::kU8, Shape{kSize - kHeader}, 0, {kHeader, kSize})};
  }
  // All of the tensor, by parts in no order, some of them twice.
  void ReadTensor(SourceChecks& checks) {
    const auto reader = checks.Watch(*store_.Open(catalog_.objects[0]), 0);
    for (const ByteRange& range : {ByteRange{2'000'000, 2'500'000}, ByteRange{kHeader, 2'000'000},
                                   ByteRange{1'500'000, 2'200'000}, ByteRange{2'500'000, kSize}}) {
      std::vector<std::byte> into(range.size());
      ASSERT_TRUE(reader->Read(range, into));
    }
  }

  std::string bytes_;
  MemoryStore store_;
  Catalog catalog_;
};

TEST_F(ObjectChecks, AreThoseOfTheStore) {
  AddObjectChecks(catalog_);
  ASSERT_EQ(catalog_.checks.size(), 1U);
  EXPECT_EQ(catalog_.checks[0].range, (ByteRange{0, kSize}));
  EXPECT_EQ(catalog_.checks[0].kind, StoredCheck::Kind::kCrc32c);
  AddObjectChecks(catalog_);
  EXPECT_EQ(catalog_.checks.size(), 1U) << "once";
  catalog_.checks = {{"part", 0, {0, 1}, 7}};
  AddObjectChecks(catalog_);
  EXPECT_EQ(catalog_.checks.size(), 1U) << "its parts have checksums";
  catalog_.checks.clear();
  catalog_.objects[0].crc32c.reset();
  AddObjectChecks(catalog_);
  EXPECT_TRUE(catalog_.checks.empty()) << "the store knows none";
}

TEST_F(ObjectChecks, ReadTheHeaderAlone) {
  AddObjectChecks(catalog_);
  SourceChecks checks(catalog_);
  ReadTensor(checks);
  EXPECT_EQ(checks.Finish()->incomplete, 1U);
  const uint64_t before = store_.read_bytes();
  ASSERT_TRUE(checks.ReadTheRest(store_));
  EXPECT_EQ(store_.read_bytes() - before, kHeader);
  const auto verdict = checks.Finish();
  ASSERT_TRUE(verdict) << verdict.error().Print();
  EXPECT_EQ(verdict->checked, 1U);
  EXPECT_EQ(verdict->incomplete, 0U);
}

TEST_F(ObjectChecks, TellOfDamage) {
  AddObjectChecks(catalog_);
  catalog_.checks[0].sum ^= 1;
  SourceChecks checks(catalog_);
  ReadTensor(checks);
  ASSERT_TRUE(checks.ReadTheRest(store_));
  const auto verdict = checks.Finish();
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().code, Code::kBadInput);
  EXPECT_THAT(verdict.error().Print(), HasSubstr("CRC-32C"));
  EXPECT_THAT(verdict.error().Print(), HasSubstr("/memory/a"));
}

// Parts of several processes: what two of them read has its record in both.
TEST_F(ObjectChecks, JoinTheRecordsOfOthers) {
  AddObjectChecks(catalog_);
  std::vector<CheckPart> kept;
  for (const ByteRange& range : {ByteRange{0, 2'000'000}, ByteRange{2'000'000, kSize}}) {
    SourceChecks one(catalog_);
    one.Add(0, range.begin, std::as_bytes(std::span(bytes_)).subspan(range.begin, range.size()));
    for (const CheckPart& part : one.Take()) kept.push_back(part);
  }
  SourceChecks checks(catalog_);
  checks.Keep(kept);
  EXPECT_EQ(checks.Finish()->checked, 1U);
}

TEST_F(ObjectChecks, FetchNoLargeRest) {
  std::string large;
  large.resize(40'000'000, 'x');
  store_.Put("a", large);
  catalog_.objects = {*store_.Stat("a")};
  catalog_.objects[0].crc32c = Crc32c::Of(std::as_bytes(std::span(large)));
  AddObjectChecks(catalog_);
  SourceChecks checks(catalog_);
  const uint64_t before = store_.read_bytes();
  ASSERT_TRUE(checks.ReadTheRest(store_));
  EXPECT_EQ(store_.read_bytes(), before);
  EXPECT_EQ(checks.Finish()->incomplete, 1U);
}

}  // namespace
}  // namespace ckpt
