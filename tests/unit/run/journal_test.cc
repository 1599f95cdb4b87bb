#include "run/journal.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>

#include "run/record_reader.h"
#include "tests/store/faulty_store.h"
#include "tests/unit/run/state_store.h"

namespace ckpt {
namespace {

const std::string kRunDigest(64, 'd');

BundleRecord RecordOf(uint32_t number, size_t size) {
  BundleRecord record;
  record.number = number;
  record.sides.push_back({8, std::vector<std::byte>(size, std::byte{7})});
  return record;
}

class JournalTest : public testing::Test {
 protected:
  uint64_t reads() const { return store_.Count(FaultPoint::kRead); }

  FaultyStore store_{std::make_unique<StateStore>()};
};

TEST_F(JournalTest, WhatItWroteOrReadIsNotReadAgain) {
  Journal writer(store_, kRunDigest);
  for (const uint32_t number : {1U, 2U}) ASSERT_TRUE(writer.Put(RecordOf(number, 100)));
  EXPECT_TRUE(writer.Get(1)->IsEqualTo(RecordOf(1, 100)));
  EXPECT_EQ(reads(), 0U);
  const Journal reader(store_, kRunDigest);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(reader.Get(2)->IsEqualTo(RecordOf(2, 100)));
  EXPECT_EQ(reads(), 1U);
}

TEST_F(JournalTest, AForgottenRecordIsGone) {
  Journal journal(store_, kRunDigest);
  ASSERT_TRUE(journal.Put(RecordOf(1, 100)));
  const std::vector<uint32_t> numbers = {1};
  ASSERT_TRUE(journal.Drop(numbers));
  EXPECT_EQ(journal.Get(1).error().code, Code::kNotFound);
}

// 40 MB of records: those beyond the 4 MiB that are kept are read each time.
TEST_F(JournalTest, KeepsAFewMebibytesAtMost) {
  constexpr size_t side_bytes = 60'000;
  constexpr uint32_t records = 700;
  Journal journal(store_, kRunDigest);
  for (uint32_t i = 1; i <= records; ++i) ASSERT_TRUE(journal.Put(RecordOf(i, side_bytes)));
  std::vector<uint32_t> numbers(records);
  std::iota(numbers.begin(), numbers.end(), 1U);
  size_t taken = 0;
  const auto take = [&](const BundleRecord& record) -> Result<void> {
    EXPECT_EQ(record.sides.at(0).bytes.size(), side_bytes);
    ++taken;
    return {};
  };
  ASSERT_TRUE(journal.ForEach(numbers, take));
  EXPECT_EQ(taken, records);
  EXPECT_GT(reads(), records - (5ULL << 20) / side_bytes);
  EXPECT_LT(reads(), records - (3ULL << 20) / side_bytes);
}

// Side values in a file of their own are not kept, and not read where nobody asks for them.
TEST_F(JournalTest, ReadsSideFilesForThoseWhoAsk) {
  const BundleRecord whole = RecordOf(1, 70'000);
  Journal writer(store_, kRunDigest);
  ASSERT_TRUE(writer.Put(whole));
  const auto expect = [&](const Journal& journal, Sides sides, uint64_t count) {
    const uint64_t before = reads();
    const Result<BundleRecord> record = journal.Get(1, sides);
    ASSERT_TRUE(record) << record.error().Print();
    EXPECT_EQ(record->IsEqualTo(whole), sides == Sides::kRead);
    EXPECT_EQ(record->sides.at(0).file_offset, whole.sides[0].file_offset);
    EXPECT_EQ(reads(), before + count);
  };
  for (int i = 0; i < 2; ++i) expect(writer, Sides::kRead, 1);
  expect(writer, Sides::kLeft, 0);
  const Journal reader(store_, kRunDigest);
  expect(reader, Sides::kLeft, 1);
  expect(reader, Sides::kRead, 1);
}

TEST(RecordReader, ReadsAheadInTheOrderThatIsKnown) {
  MemoryStore store;
  Journal writer(store, kRunDigest);
  for (uint32_t i = 1; i <= 8; ++i) ASSERT_TRUE(writer.Put(RecordOf(i, size_t{10} * i)));
  const Journal journal(store, kRunDigest, "", 3);
  RecordReader records(journal);
  const auto expect = [&](uint32_t number, uint64_t reads) {
    const auto record = records.Get(number);
    ASSERT_TRUE(record) << record.error().Print();
    EXPECT_TRUE((*record)->IsEqualTo(RecordOf(number, size_t{10} * number))) << number;
    EXPECT_EQ(store.reads(), reads) << number;
  };
  records.Expect({5, 5, 2, 5, 8, 1, 7});
  expect(5, 3);  // and 2 and 8
  expect(5, 3);
  expect(2, 3);
  expect(5, 3);
  expect(8, 3);
  expect(4, 4);  // nobody said so
  expect(1, 6);  // and 7
  expect(7, 6);
  records.Expect({});
  expect(3, 7);
  EXPECT_EQ(records.Get(99).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace ckpt
