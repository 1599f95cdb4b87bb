// Positioned objects that outlive their writers, and that several processes fill.
#include "base/units.h"
#include "store/gs/receipt.h"
#include "store/gs/session.h"
#include "tests/store/gs/gs_stub.h"

namespace ckpt {
namespace {

// An object of segments that several writers fill, each opened as by a process of its own.
struct KeptObject {
  GsStub& stub;
  std::string text;
  std::vector<uint64_t> borders;
  bool is_create_only = true;
  std::string session = {};
  std::vector<std::string> receipts = {};

  size_t segments() const { return borders.size() + 1; }
  ByteRange Segment(size_t i) const {
    return {i == 0 ? 0 : borders[i - 1], i == borders.size() ? text.size() : borders[i]};
  }
  Result<std::unique_ptr<PositionedWriter>> Open(Store& store) {
    CKPT_TRY(auto writer, store.CreatePositioned("object", text.size(),
                                                 {.is_create_only = is_create_only,
                                                  .borders = borders,
                                                  .is_kept = true,
                                                  .session = session}));
    session = writer->session();
    receipts.resize(segments());
    return writer;
  }
  Result<void> Write(PositionedWriter& writer, size_t i) const {
    const ByteRange segment = Segment(i);
    for (uint64_t at = segment.begin; at < segment.end;) {
      const uint64_t size = std::min<uint64_t>(1'000'003, segment.end - at);
      CKPT_TRY_VOID(writer.WriteAt(at, BytesOf(text).subspan(at, size)).get());
      at += size;
    }
    return {};
  }
  Result<void> WriteAndSettle(PositionedWriter& writer, size_t i) {
    CKPT_TRY_VOID(Write(writer, i));
    CKPT_TRY(receipts[i], writer.Settle(Segment(i)));
    return {};
  }
  Result<void> TakeOverAll(PositionedWriter& writer) const {
    for (size_t i = 0; i < receipts.size(); ++i) {
      if (!receipts[i].empty()) CKPT_TRY_VOID(writer.TakeOver(Segment(i), receipts[i]));
    }
    return {};
  }
  // All segments by one writer that ends without a commit.
  Result<void> Fill() {
    const auto store = stub.Open();
    CKPT_TRY(const auto writer, Open(*store));
    for (size_t i = 0; i < segments(); ++i) CKPT_TRY_VOID(WriteAndSettle(*writer, i));
    return {};
  }
  // What a process does that finds everything recorded.
  Result<ObjectInfo> CommitElsewhere() {
    const auto store = stub.Open();
    CKPT_TRY(const auto writer, Open(*store));
    CKPT_TRY_VOID(TakeOverAll(*writer));
    return writer->Commit();
  }
};

KeptObject TwoHalves(GsStub& stub) { return {stub, RandomText(40 * kMiB + 5, 1), {20 * kMiB + 3}}; }

void ExpectWhole(GsStub& stub, const KeptObject& object) {
  EXPECT_TRUE(stub.Holds("run/object") == object.text);
  EXPECT_EQ(stub.Names(), std::vector<std::string>{"run/object"});
  EXPECT_EQ(stub.Unfinished(), 0U);
  EXPECT_TRUE(stub.warnings().empty()) << stub.warnings()[0];
}

TEST(GsKept, IsFilledByTwoWritersAndCommittedByAThird) {
  GsStub stub;
  KeptObject object = TwoHalves(stub);
  {
    const auto store = stub.Open();
    const auto other_store = stub.Open();
    ASSERT_RESULT(const auto first, object.Open(*store));
    ASSERT_RESULT(const auto second, object.Open(*other_store));
    EXPECT_EQ(first->session(), second->session());
    ASSERT_SUCCEEDS(object.WriteAndSettle(*second, 1));
    ASSERT_SUCCEEDS(object.WriteAndSettle(*first, 0));
  }
  EXPECT_EQ(stub.Unfinished(), 1U);
  EXPECT_TRUE(stub.Names().empty());
  ASSERT_RESULT(const ObjectInfo info, object.CommitElsewhere());
  EXPECT_EQ(info.crc32c, Crc32c::Of(BytesOf(object.text)));
  EXPECT_EQ(stub.CountRequests("PUT", "partNumber="), 4U);
  ExpectWhole(stub, object);
}

TEST(GsKept, IsAMultipartUploadHoweverSmall) {
  GsStub stub;
  KeptObject object{stub, "text", {}};
  ASSERT_SUCCEEDS(object.Fill());
  EXPECT_TRUE(object.session.starts_with("xml ")) << object.session;
  ASSERT_SUCCEEDS(object.CommitElsewhere());
  ExpectWhole(stub, object);
}

TEST(GsKept, MayBeEmpty) {
  GsStub stub;
  KeptObject object{stub, "", {}};
  ASSERT_SUCCEEDS(object.Fill());
  ASSERT_SUCCEEDS(object.CommitElsewhere());
  ExpectWhole(stub, object);
  ASSERT_SUCCEEDS(stub.Open()->DropUnfinished("object", object.session));
}

// Segments far below a part's least size: each outlives its writer as a piece.
TEST(GsKept, KeepsSegmentsThatAreNoParts) {
  GsStub stub;
  KeptObject object{stub, RandomText(18 * kMiB + 7, 2), {1000, 5000, 6 * kMiB, 6 * kMiB + 10}};
  for (const size_t i : {3, 1, 4, 0, 2}) {
    const auto store = stub.Open();
    ASSERT_RESULT(const auto writer, object.Open(*store));
    ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, i));
  }
  EXPECT_FALSE(stub.Names().empty());
  ASSERT_RESULT(const auto listed, stub.Open()->List(""));
  EXPECT_TRUE(listed.empty()) << "pieces are no objects of the store";
  ASSERT_SUCCEEDS(object.CommitElsewhere());
  ExpectWhole(stub, object);
}

// As a run does it: the front, which shares a part with the first bundle, is written at the end.
TEST(GsKept, WaitsForItsFrontInOneProcessAndInTwo) {
  for (const bool is_other_process : {false, true}) {
    GsStub stub;
    KeptObject object{stub, RandomText(30 * kMiB, 3), {777, 15 * kMiB}};
    auto store = stub.Open();
    ASSERT_RESULT(auto writer, object.Open(*store));
    ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 1));
    ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 2));
    if (is_other_process) {
      writer.reset();
      store = stub.Open();
      ASSERT_RESULT(writer, object.Open(*store));
      ASSERT_SUCCEEDS(object.TakeOverAll(*writer));
    }
    ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 0));
    ASSERT_SUCCEEDS(writer->Commit());
    ExpectWhole(stub, object);
  }
}

// Pieces become a whole part when the last of them is written by the same process: both receipts
// hold for others.
TEST(GsKept, TakesPiecesAndPartsOfTheSameBytes) {
  GsStub stub;
  KeptObject object{stub, RandomText(6 * kMiB, 4), {1 * kMiB, 2 * kMiB}};
  ASSERT_SUCCEEDS(object.Fill());
  EXPECT_NE(object.receipts[0].find('@'), std::string::npos);
  EXPECT_EQ(object.receipts[2].find('@'), std::string::npos);
  ASSERT_SUCCEEDS(object.CommitElsewhere());
  ExpectWhole(stub, object);
}

TEST(GsKept, MayBeWrittenAgainAlsoByTwoAtOnce) {
  GsStub stub;
  KeptObject object = TwoHalves(stub);
  ASSERT_SUCCEEDS(object.Fill());
  const KeptObject before = object;
  {
    const auto store = stub.Open();
    const auto other_store = stub.Open();
    ASSERT_RESULT(const auto first, object.Open(*store));
    ASSERT_RESULT(const auto second, object.Open(*other_store));
    ASSERT_SUCCEEDS(object.TakeOverAll(*first));
    ASSERT_SUCCEEDS(object.Write(*second, 0));
    ASSERT_SUCCEEDS(object.WriteAndSettle(*first, 0));
    ASSERT_RESULT(const std::string receipt, second->Settle(object.Segment(0)));
    EXPECT_EQ(receipt, before.receipts[0]);
    EXPECT_EQ(object.receipts, before.receipts);
  }
  ASSERT_SUCCEEDS(object.CommitElsewhere());
  ExpectWhole(stub, object);
}

}  // namespace
}  // namespace ckpt
