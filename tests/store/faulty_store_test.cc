#include "tests/store/faulty_store.h"

#include "store/file/file_store.h"
#include "tests/store/store_test.h"
#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

using std::string_literals::operator""s;

class FaultyStoreTest : public testing::Test {
 protected:
  FaultyStore Make(std::vector<Fault> faults) {
    return FaultyStore(*OpenFileStore(*Uri::Parse(folder_.path()), {}), std::move(faults));
  }

 private:
  TempFolder folder_;
};

TEST_F(FaultyStoreTest, FailsExactlyTheNthCall) {
  FaultyStore store = Make({{FaultPoint::kRead, 2, Error{Code::kIo, "torn cable", {}, {}, ""}}});
  ASSERT_SUCCEEDS(WriteSmallObject(store, "object", "text", {}));
  ASSERT_RESULT(const auto reader, store.Open(*store.Stat("object")));
  EXPECT_EQ(ReadBulk(*reader, {0, 4}), "text");
  EXPECT_FAILS(Code::kIo, ReadBulk(*reader, {0, 4}));
  EXPECT_EQ(ReadBulk(*reader, {0, 4}), "text");
  EXPECT_EQ(store.Count(FaultPoint::kRead), 3U);
}

TEST_F(FaultyStoreTest, LeavesHalfOfAFailedWriteAndPublishesNothing) {
  FaultyStore store = Make({{FaultPoint::kWrite, 1}, {FaultPoint::kCommit, 1}});
  ASSERT_RESULT(auto writer, store.CreatePositioned("object", 4, {}));
  EXPECT_FAILS(Code::kIo, writer->WriteAt(0, BytesOf("text")).get());
  EXPECT_FAILS(Code::kIo, writer->Commit());
  EXPECT_EQ(store.ReadWhole("object.part", 4), "te\0\0"s);
  writer.reset();
  EXPECT_TRUE(store.List("", {})->empty());
}

TEST_F(FaultyStoreTest, CutsAnObjectForReadersOnly) {
  FaultyStore store = Make({});
  ASSERT_SUCCEEDS(WriteSmallObject(store, "object", "text", {}));
  store.CutObject("object", 3);
  ASSERT_RESULT(const ObjectInfo info, store.Stat("object"));
  EXPECT_EQ(info.size_bytes, 4U);
  ASSERT_RESULT(const auto reader, store.Open(info));
  EXPECT_EQ(ReadSmall(*reader, {0, 3}), "tex");
  EXPECT_FAILS(Code::kBadInput, ReadSmall(*reader, {0, 4}));
}

TEST(RandomFaults, AreTheSameForTheSameSeed) {
  const auto of = [](uint64_t seed) {
    std::vector<std::pair<FaultPoint, uint64_t>> places;
    for (const Fault& fault : RandomFaults(seed, 20, {FaultPoint::kRead, FaultPoint::kWrite}, 9))
      places.emplace_back(fault.point, fault.nth);
    return places;
  };
  EXPECT_EQ(of(1), of(1));
  EXPECT_NE(of(1), of(2));
}

}  // namespace
}  // namespace ckpt
