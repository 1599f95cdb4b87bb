// Positioned objects that outlive their writers, and that several processes fill.
#include <algorithm>
#include <thread>

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

// Of one part each, so that what is written last is also the first that can fail.
KeptObject TwoHalves(GsStub& stub) { return {stub, RandomText(11 * kMiB + 5, 1), {6 * kMiB + 3}}; }

void ExpectWhole(GsStub& stub, const KeptObject& object) {
  EXPECT_TRUE(stub.Holds("run/object") == object.text);
  EXPECT_EQ(stub.Names(), std::vector<std::string>{"run/object"});
  EXPECT_EQ(stub.Unfinished(), 0U);
  EXPECT_TRUE(stub.warnings().empty()) << stub.warnings()[0];
}

TEST(GsKept, IsFilledByTwoWritersAndCommittedByAThird) {
  GsStub stub;
  KeptObject object{stub, RandomText(40 * kMiB + 5, 1), {20 * kMiB + 3}};
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
  for (const size_t i : {3U, 1U, 4U, 0U, 2U}) {
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
    KeptObject object{stub, RandomText(13 * kMiB, 3), {777, 7 * kMiB}};
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

TEST(GsKept, LosesNothingToCutConnections) {
  const std::vector<std::string> faults = {
      R"({"query":"partNumber","cut_upload_after":100000,"times":2})",
      R"({"query":"partNumber","cut_after":0,"times":2})",
      R"({"query":"partNumber","status":503,"carried_out":true,"times":1})",
      R"({"method":"PUT","path":"ckpt-tmp","cut_upload_after":500,"times":2})",
      R"({"method":"PUT","path":"ckpt-tmp","cut_after":0,"times":2})",
      R"({"method":"GET","path":"ckpt-tmp","cut_after":500,"times":2})",
      R"({"method":"GET","query":"max-parts","status":503,"times":2})",
      R"({"method":"POST","query":"uploadId","status":500,"carried_out":true,"times":1})"};
  GsStub stub;
  for (const std::string& fault : faults) {
    stub.stub().Script("[" + fault + "]");
    KeptObject object{stub, RandomText(12 * kMiB, 5), {1000, 6 * kMiB, 7 * kMiB}};
    for (const size_t i : {1U, 3U, 0U, 2U}) {
      const auto store = stub.Open();
      ASSERT_RESULT(const auto writer, object.Open(*store));
      ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, i));
    }
    const auto info = object.CommitElsewhere();
    ASSERT_TRUE(info.has_value()) << fault << "\n" << ErrorOf(info);
    ExpectWhole(stub, object);
    ASSERT_SUCCEEDS(stub.Open()->Remove("object"));
  }
}

TEST(GsKept, FailsToSettleOnlyWhatFailed) {
  GsStub stub;
  KeptObject object = TwoHalves(stub);
  {
    const auto store = stub.Open();
    ASSERT_RESULT(const auto writer, object.Open(*store));
    ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 0));
    stub.stub().Script(R"([{"query":"partNumber","status":400,"times":1}])");
    ASSERT_SUCCEEDS(
        writer->WriteAt(object.borders[0], BytesOf(object.text).subspan(object.borders[0])).get());
    EXPECT_FAILS(Code::kIo, writer->Settle(object.Segment(1)));
    EXPECT_FAILS(Code::kIo, writer->Settle({0, object.text.size()}));
    EXPECT_EQ(*writer->Settle(object.Segment(0)), object.receipts[0]);
    EXPECT_FAILS(Code::kIo, writer->Commit());
  }
  // Another process makes the rest.
  const auto store = stub.Open();
  ASSERT_RESULT(const auto writer, object.Open(*store));
  ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 1));
  ASSERT_SUCCEEDS(object.TakeOverAll(*writer));
  ASSERT_SUCCEEDS(writer->Commit());
  ExpectWhole(stub, object);
}

TEST(GsKept, RefusesToSettleAndToCommitWhatWasNotWritten) {
  GsStub stub;
  KeptObject object{stub, RandomText(12 * kMiB, 5), {1000, 6 * kMiB}};
  const auto store = stub.Open();
  ASSERT_RESULT(const auto writer, object.Open(*store));
  ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf(object.text).first(1)).get());
  EXPECT_FAILS(Code::kInternal, writer->Settle(object.Segment(0)));
  EXPECT_FAILS(Code::kInternal, writer->Settle(object.Segment(2)));
  EXPECT_FAILS(Code::kInternal, writer->Settle({0, 1}));
  ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 1));
  EXPECT_FAILS(Code::kInternal, writer->Commit());
}

TEST(GsKept, RefusesReceiptsThatAreNotOfItsRange) {
  GsStub stub;
  KeptObject object{stub, RandomText(14 * kMiB, 3), {777, 7 * kMiB}};
  ASSERT_SUCCEEDS(object.Fill());
  const auto store = stub.Open();
  ASSERT_RESULT(const auto writer, object.Open(*store));
  const std::string& part = object.receipts[2];
  const std::string& piece = object.receipts[0];
  ASSERT_SUCCEEDS(writer->TakeOver({0, 0}, "gs1"));
  for (const std::string& receipt :
       {std::string(), std::string("gs1"), part + " ", part + part.substr(3), piece + " x", piece,
        piece.substr(0, piece.size() - 1), std::string("gs1 1:7340032:00000000:x"),
        std::string("gs1 2:7340031:00000000:x"), std::string("gs1 3:7340032:00000000:x"),
        std::string("gs2") + part.substr(3), part + " @0:777:00000000"})
    EXPECT_FAILS(Code::kIo, writer->TakeOver(object.Segment(2), receipt));
  EXPECT_FAILS(Code::kIo, writer->TakeOver(object.Segment(1), part));
  EXPECT_FAILS(Code::kIo, writer->TakeOver({0, object.text.size()}, part));
  EXPECT_FAILS(Code::kIo, writer->TakeOver({0, 700}, piece));
  // None of them left anything behind.
  EXPECT_FAILS(Code::kInternal, writer->Commit());
  ASSERT_SUCCEEDS(object.TakeOverAll(*writer));
  ASSERT_SUCCEEDS(writer->Commit());
  ExpectWhole(stub, object);
}

TEST(GsKept, RefusesSessionsThatAreNone) {
  GsStub stub;
  const auto store = stub.Open();
  for (const std::string session :
       {"xml ", "xml a b", "part", "compose ../../other", "compose 0123456789ABCDEF", "compose "}) {
    EXPECT_FAILS(Code::kIo,
                 store->CreatePositioned("object", 1, {.is_kept = true, .session = session}));
    EXPECT_FAILS(Code::kIo, store->DropUnfinished("object", session));
  }
}

// Both found everything recorded.
TEST(GsKept, IsCommittedByTwo) {
  for (const bool is_create_only : {true, false}) {
    GsStub stub;
    KeptObject object{stub, RandomText(12 * kMiB, 5), {1000, 6 * kMiB}, is_create_only};
    for (const size_t i : {1U, 0U, 2U}) {
      const auto store = stub.Open();
      ASSERT_RESULT(const auto writer, object.Open(*store));
      ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, i));
    }
    const auto store = stub.Open();
    ASSERT_RESULT(const auto first, object.Open(*store));
    ASSERT_RESULT(const auto second, object.Open(*store));
    for (PositionedWriter* writer : {first.get(), second.get()})
      ASSERT_SUCCEEDS(object.TakeOverAll(*writer));
    ASSERT_RESULT(const ObjectInfo winner, first->Commit());
    ASSERT_RESULT(const ObjectInfo loser, second->Commit());
    EXPECT_EQ(winner.generation, loser.generation);
    ExpectWhole(stub, object);
    EXPECT_FAILS(is_create_only ? Code::kCannotCreate : Code::kNotFound, object.Open(*store));
  }
}

// Whoever is not the first finds the upload gone, or the object there.
TEST(GsKept, IsCommittedByTwoAtOnce) {
  GsStub stub;
  KeptObject object = TwoHalves(stub);
  ASSERT_SUCCEEDS(object.Fill());
  std::vector<std::thread> threads;
  threads.reserve(4);
  std::vector<Result<ObjectInfo>> results(4, Fail(Code::kInternal, "did not run"));
  for (Result<ObjectInfo>& result : results)
    threads.emplace_back([&] {
      KeptObject mine = object;
      result = mine.CommitElsewhere();
    });
  for (std::thread& thread : threads) thread.join();
  // One that opened too late found the object there.
  EXPECT_GE(std::count_if(results.begin(), results.end(),
                          [](const auto& result) { return result.has_value(); }),
            1);
  for (const Result<ObjectInfo>& result : results)
    EXPECT_TRUE(result || result.error().code == Code::kCannotCreate ||
                result.error().code == Code::kNotFound)
        << ErrorOf(result);
  ExpectWhole(stub, object);
}

TEST(GsKept, SaysThatItsUploadIsGone) {
  GsStub stub;
  KeptObject object = TwoHalves(stub);
  const auto store = stub.Open();
  {
    ASSERT_RESULT(const auto writer, object.Open(*store));
    ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 0));
    ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 1));
    ASSERT_RESULT(const auto late, object.Open(*store));
    ASSERT_SUCCEEDS(store->DropUnfinished("object", object.session));
    EXPECT_EQ(stub.Unfinished(), 0U);
    const auto committed = writer->Commit();
    ASSERT_FALSE(committed.has_value());
    EXPECT_EQ(committed.error().code, Code::kIo);
    ExpectSays(committed.error(), "the unfinished upload was removed");
    ExpectSays(committed.error(), "run/object");
    ASSERT_SUCCEEDS(object.Write(*late, 0));
    const auto settled = late->Settle(object.Segment(0));
    ASSERT_FALSE(settled.has_value());
    EXPECT_EQ(settled.error().code, Code::kIo);
    ExpectSays(settled.error(), "the unfinished upload was removed");
    EXPECT_FAILS(Code::kIo, late->Commit());
  }
  EXPECT_FAILS(Code::kNotFound, object.Open(*store));
  // Anew.
  object.session.clear();
  ASSERT_SUCCEEDS(object.Fill());
  ASSERT_SUCCEEDS(object.CommitElsewhere());
  ExpectWhole(stub, object);
}

// A slow twin of the process that finished everything.
TEST(GsKept, CommitsThoughItsPartsCameTooLate) {
  GsStub stub;
  KeptObject object = TwoHalves(stub);
  const auto store = stub.Open();
  ASSERT_RESULT(const auto late, object.Open(*store));
  ASSERT_SUCCEEDS(object.Write(*late, 0));
  ASSERT_SUCCEEDS(object.Fill());
  ASSERT_SUCCEEDS(object.CommitElsewhere());
  ASSERT_SUCCEEDS(object.Write(*late, 1));
  EXPECT_FAILS(Code::kIo, late->Settle(object.Segment(1)));
  ASSERT_SUCCEEDS(late->Commit());
  ExpectWhole(stub, object);
}

TEST(GsKept, NeverTakesAnotherObjectForItsOwn) {
  GsStub stub;
  KeptObject object = TwoHalves(stub);
  const auto store = stub.Open();
  ASSERT_RESULT(const auto writer, object.Open(*store));
  ASSERT_SUCCEEDS(object.Write(*writer, 0));
  ASSERT_SUCCEEDS(object.Write(*writer, 1));
  ASSERT_SUCCEEDS(writer->Settle({0, object.text.size()}));
  ASSERT_SUCCEEDS(store->DropUnfinished("object", object.session));
  stub.Put("run/object", "theirs");
  EXPECT_FAILS(Code::kCannotCreate, writer->Commit());
  EXPECT_EQ(stub.Holds("run/object"), "theirs");
}

TEST(GsKept, RefusesPiecesThatWereChanged) {
  GsStub stub;
  KeptObject object{stub, RandomText(12 * kMiB, 5), {1000, 6 * kMiB}};
  {
    const auto store = stub.Open();
    ASSERT_RESULT(const auto writer, object.Open(*store));
    ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 0));
  }
  const auto store = stub.Open();
  ASSERT_RESULT(const auto writer, object.Open(*store));
  ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 1));
  ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 2));
  ASSERT_SUCCEEDS(object.TakeOverAll(*writer));
  const std::vector<std::string> names = stub.Names();
  ASSERT_FALSE(names.empty());
  ASSERT_TRUE(names[0].ends_with("/0-1000")) << names[0];
  stub.Put(names[0], std::string(1000, 'x'));
  EXPECT_FAILS(Code::kIo, writer->Commit());
  EXPECT_FAILS(Code::kNotFound, store->Stat("object"));
}

TEST(GsKept, TrustsSessionsThatItMayNotLookAt) {
  GsStub stub({"--tokens", "t", "--permissions",
               R"({"t":["storage.objects.get","storage.objects.list","storage.objects.create",
                        "storage.objects.delete","storage.multipartUploads.create",
                        "storage.multipartUploads.abort"]})"});
  GsOptions options = stub.Options();
  options.authorizer = std::make_shared<FixedToken>(std::vector<std::string>{"t"});
  const auto store = stub.Open("gs://bucket/run", options);
  KeptObject object = TwoHalves(stub);
  for (const size_t i : {0U, 1U}) {
    ASSERT_RESULT(const auto writer, object.Open(*store));
    ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, i));
  }
  ASSERT_RESULT(const auto writer, object.Open(*store));
  ASSERT_SUCCEEDS(object.TakeOverAll(*writer));
  ASSERT_SUCCEEDS(writer->Commit());
  ExpectWhole(stub, object);
  // Nor may it list unfinished uploads: a warning, since nothing can be done.
  ASSERT_RESULT(const size_t count, store->DropUnfinishedBelow(""));
  EXPECT_EQ(count, 0U);
  ASSERT_EQ(stub.warnings().size(), 1U);
  EXPECT_NE(stub.warnings()[0].find("storage.multipartUploads.list"), std::string::npos);
  EXPECT_NE(stub.warnings()[0].find("AbortIncompleteMultipartUpload"), std::string::npos);
}

class ComposingStub : public GsStub {
 public:
  ComposingStub()
      : GsStub({"--tokens", "t", "--permissions",
                R"({"t":["storage.objects.get","storage.objects.list","storage.objects.create",
                         "storage.objects.delete"]})"}) {}
  std::unique_ptr<Store> OpenStore() {
    GsOptions options = Options();
    options.authorizer = std::make_shared<FixedToken>(std::vector<std::string>{"t"});
    return Open("gs://bucket/run", options);
  }
};

TEST(GsKept, IsComposedByAnotherProcess) {
  ComposingStub stub;
  const auto store = stub.OpenStore();
  KeptObject object{stub, RandomText(12 * kMiB, 6), {1000, 6 * kMiB}};
  for (const size_t i : {1U, 2U, 0U}) {
    ASSERT_RESULT(const auto writer, object.Open(*store));
    EXPECT_TRUE(writer->session().starts_with("compose ")) << writer->session();
    ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, i));
  }
  ASSERT_RESULT(const auto first, object.Open(*store));
  ASSERT_RESULT(const auto second, object.Open(*store));
  for (PositionedWriter* writer : {first.get(), second.get()})
    ASSERT_SUCCEEDS(object.TakeOverAll(*writer));
  ASSERT_SUCCEEDS(first->Commit());
  ASSERT_SUCCEEDS(second->Commit());
  EXPECT_TRUE(stub.Holds("run/object") == object.text);
  EXPECT_EQ(stub.Names(), std::vector<std::string>{"run/object"});
}

TEST(GsKept, SaysThatItsComposedPartsAreGone) {
  ComposingStub stub;
  const auto store = stub.OpenStore();
  KeptObject object{stub, RandomText(12 * kMiB, 6), {6 * kMiB}};
  ASSERT_RESULT(const auto writer, object.Open(*store));
  ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 0));
  ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 1));
  ASSERT_SUCCEEDS(store->DropUnfinished("object", object.session));
  EXPECT_TRUE(stub.Names().empty());
  EXPECT_FAILS(Code::kIo, writer->Commit());
}

TEST(GsKept, IsDroppedWithItsPieces) {
  GsStub stub;
  stub.Put("run/other", "theirs");
  KeptObject object{stub, RandomText(12 * kMiB, 5), {1000, 6 * kMiB}};
  {
    const auto store = stub.Open();
    ASSERT_RESULT(const auto writer, object.Open(*store));
    ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, 1));
  }
  EXPECT_EQ(stub.Names().size(), 2U);
  const auto store = stub.Open();
  for (int i = 0; i < 2; ++i) {
    ASSERT_SUCCEEDS(store->DropUnfinished("object", object.session));
    EXPECT_EQ(stub.Unfinished(), 0U);
    EXPECT_EQ(stub.Names(), std::vector<std::string>{"run/other"});
  }
  EXPECT_FAILS(Code::kNotFound, object.Open(*store));
  EXPECT_FAILS(Code::kBadInput, store->DropUnfinished("../object", object.session));
}

TEST(GsStore, DropsWhatIsUnfinishedBelowAFolderAndNothingBeside) {
  GsStub stub({"--page-size", "2"});
  const auto begin = [&](const std::string& root, const std::string& name) {
    const auto store = stub.Open(root);
    const auto writer =
        store->CreatePositioned(name, 12 * kMiB, {.borders = {1000}, .is_kept = true});
    ASSERT_TRUE(writer.has_value()) << ErrorOf(writer);
    ASSERT_SUCCEEDS((*writer)->WriteAt(0, BytesOf(std::string(1000, 'x'))).get());
    ASSERT_SUCCEEDS((*writer)->Settle({0, 1000}));
  };
  for (const std::string name : {"a/1", "a/1", "a/1", "a b+c/&<ü>", "z"})
    begin("gs://bucket/run", name);
  begin("gs://bucket/runner", "a/1");
  stub.Put("run/a/1", "whole");
  stub.Put("run/.ckpt-tmp/probe-1", "ckpt");
  EXPECT_EQ(stub.Unfinished(), 6U);

  const auto store = stub.Open();
  EXPECT_EQ(*store->DropUnfinishedBelow("a"), 3U);
  EXPECT_EQ(stub.Unfinished(), 3U);
  EXPECT_EQ(*store->DropUnfinishedBelow("a"), 0U);
  EXPECT_EQ(*store->DropUnfinishedBelow(""), 3U);  // two uploads, one probe
  EXPECT_EQ(*store->DropUnfinishedBelow(""), 0U);
  EXPECT_EQ(stub.Unfinished(), 1U);
  const std::vector<std::string> names = stub.Names();
  ASSERT_EQ(names.size(), 2U);
  EXPECT_EQ(names[0], "run/a/1");
  EXPECT_TRUE(names[1].starts_with("runner/.ckpt-tmp/")) << names[1];
  EXPECT_FAILS(Code::kBadInput, store->DropUnfinishedBelow("../runner"));
  EXPECT_TRUE(stub.warnings().empty());
}

TEST(GsStore, TellsWhyUnfinishedUploadsCannotBeListed) {
  GsStub stub;
  stub.stub().Script(R"([{"query":"uploads","status":200,"body":"<html/>","times":1}])");
  EXPECT_FAILS(Code::kUnavailable, stub.Open()->DropUnfinishedBelow(""));
  EXPECT_FAILS(Code::kNotFound, stub.Open("gs://elsewhere/run")->DropUnfinishedBelow(""));
}

// The straddling parts wait for their other half to the end: the account is of all of them.
TEST(GsKept, KeepsToItsMemory) {
  GsStub stub;
  KeptObject object{stub, RandomText(60 * kMiB, 7), {1000, 20 * kMiB, 21 * kMiB, 40 * kMiB}};
  GsOptions options = stub.Options();
  options.open_segments = 1;
  options.parts_in_flight = 1;
  MemoryBudget budget(GsPositionedBytes(options, object.text.size(), object.borders));
  EXPECT_LT(budget.limit_bytes(), 45 * kMiB);
  options.budget = &budget;
  const auto store = stub.Open("gs://bucket/run", options);
  for (const auto& segments : {std::vector<size_t>{1, 3}, std::vector<size_t>{2, 4, 0}}) {
    ASSERT_RESULT(const auto writer, object.Open(*store));
    for (const size_t i : segments) ASSERT_SUCCEEDS(object.WriteAndSettle(*writer, i));
  }
  EXPECT_EQ(budget.used_bytes(), 0U);
  {
    ASSERT_RESULT(const auto writer, object.Open(*store));
    ASSERT_SUCCEEDS(object.TakeOverAll(*writer));
    ASSERT_SUCCEEDS(writer->Commit());
  }
  EXPECT_EQ(budget.used_bytes(), 0U);
  ExpectWhole(stub, object);
}

TEST(GsKept, EndsSettlingWhenAStopIsAskedFor) {
  GsStub stub;
  KeptObject object = TwoHalves(stub);
  const auto store = stub.Open();
  ASSERT_RESULT(const auto writer, object.Open(*store));
  stub.stub().Script(R"([{"query":"partNumber","delay":30}])");
  ASSERT_SUCCEEDS(object.Write(*writer, 0));
  std::thread stopper([&] { stub.Stop(); });
  EXPECT_FAILS(Code::kInterrupted, writer->Settle(object.Segment(0)));
  stopper.join();
}

}  // namespace
}  // namespace ckpt
