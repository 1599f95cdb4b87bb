#include "store/null/null_store.h"

#include "store/null/interval_crc.h"
#include "tests/store/store_test.h"

namespace ckpt {
namespace {

Crc32c CrcOf(std::string_view text) { return Crc32c::Of(BytesOf(text)); }

TEST(IntervalCrc, JoinsPartsInEveryOrder) {
  const std::vector<std::pair<uint64_t, std::string>> parts = {{0, "ab"}, {2, "c"}, {3, "defg"}};
  for (const std::vector<size_t>& order : std::vector<std::vector<size_t>>{
           {0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
    IntervalCrc crcs;
    for (const size_t i : order) ASSERT_SUCCEEDS(crcs.Add(parts[i].first, CrcOf(parts[i].second)));
    EXPECT_EQ(*crcs.Finish(7), CrcOf("abcdefg"));
  }
}

TEST(IntervalCrc, RefusesOverlapsFromBothSides) {
  IntervalCrc crcs;
  ASSERT_SUCCEEDS(crcs.Add(10, CrcOf("0123456789")));
  for (const uint64_t offset : {9U, 10U, 15U, 19U})
    EXPECT_FAILS(Code::kInternal, crcs.Add(offset, CrcOf("xy")));
  EXPECT_FAILS(Code::kInternal, crcs.Add(5, CrcOf("much longer than that")));
  ASSERT_SUCCEEDS(crcs.Add(20, CrcOf("xy")));
  ASSERT_SUCCEEDS(crcs.Add(8, CrcOf("xy")));
}

TEST(IntervalCrc, NamesTheFirstGap) {
  IntervalCrc crcs;
  ASSERT_SUCCEEDS(crcs.Add(0, CrcOf("ab")));
  ASSERT_SUCCEEDS(crcs.Add(3, CrcOf("d")));
  const Result<Crc32c> finished = crcs.Finish(4);
  ASSERT_FALSE(finished.has_value());
  EXPECT_THAT(finished.error().what, testing::HasSubstr("byte 2 of 4"));
  EXPECT_FAILS(Code::kInternal, IntervalCrc().Finish(1));
}

TEST(NullStore, RefusesToCommitAnObjectWithAGap) {
  const auto store = OpenNullStore();
  ASSERT_RESULT(const auto writer, store->CreatePositioned("object", 4, {}));
  ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf("ab")).get());
  EXPECT_FAILS(Code::kInternal, writer->Commit());
  EXPECT_FAILS(Code::kNotFound, store->Stat("object"));
}

TEST(NullStore, ReportsOverlappingWrites) {
  const auto store = OpenNullStore();
  ASSERT_RESULT(const auto writer, store->CreatePositioned("object", 4, {}));
  ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf("abc")).get());
  const Result<void> second = writer->WriteAt(2, BytesOf("cd")).get();
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error().Print(), testing::HasSubstr("null:/object"));
}

}  // namespace
}  // namespace ckpt
