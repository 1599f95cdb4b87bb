// Objects written front to back: in one request, and in chunks.
#include "tests/store/gs/gs_stub.h"

namespace ckpt {
namespace {

constexpr uint64_t kChunk = 512 << 10;  // as GsStub sets it

Result<ObjectInfo> Write(Store& store, const std::string& text, CreateOptions options = {}) {
  CKPT_TRY(const auto writer, store.Create("object", std::move(options)));
  for (size_t at = 0; at < text.size(); at += 100'000)
    CKPT_TRY_VOID(
        writer->Append(BytesOf(text).subspan(at, std::min<size_t>(100'000, text.size() - at))));
  return writer->Commit();
}

TEST(GsObject, SendsSmallOnesInOneRequest) {
  GsStub stub;
  const auto store = stub.Open();
  size_t written = 0;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{65536}, size_t{65537}, size_t{kChunk}}) {
    const std::string text = RandomText(size, size);
    ASSERT_RESULT(const ObjectInfo info, Write(*store, text, kReplaceIt));
    EXPECT_EQ(info.crc32c, Crc32c::Of(BytesOf(text)));
    EXPECT_TRUE(stub.Holds("run/object") == text) << size;
    EXPECT_EQ(stub.CountRequests("POST", "uploadType=multipart"), ++written);
    EXPECT_EQ(stub.CountRequests("GET", "fields="), written - 1) << "looked for but to remove it";
    ASSERT_SUCCEEDS(store->Remove("object"));
  }
  EXPECT_EQ(stub.CountRequests("POST", "uploadType=resumable"), 0U);
}

TEST(GsObject, ReplacesSmallOnesThatLieThere) {
  GsStub stub;
  const auto store = stub.Open();
  for (const std::string text : {"first", "second", "third"}) {
    ASSERT_RESULT(const ObjectInfo info, Write(*store, text, kReplaceIt));
    EXPECT_EQ(info.crc32c, Crc32c::Of(BytesOf(text)));
    EXPECT_TRUE(stub.Holds("run/object") == text);
  }
}

// Whoever comes second with the same bytes has them there; with others it is refused.
TEST(GsObject, CreatesWhatLiesThereOnlyWhereItIsEqual) {
  GsStub stub;
  const auto store = stub.Open();
  ASSERT_RESULT(const ObjectInfo first, Write(*store, "text", {}));
  ASSERT_RESULT(const ObjectInfo second, Write(*store, "text", {}));
  EXPECT_EQ(first.generation.value, second.generation.value);
  EXPECT_FAILS(Code::kCannotCreate, Write(*store, "other", {}));
  EXPECT_TRUE(stub.Holds("run/object") == "text");
}

TEST(GsObject, SendsLargeOnesInChunks) {
  GsStub stub;
  const auto store = stub.Open();
  for (const size_t size : {kChunk + 1, 2 * kChunk, 3 * kChunk + 7}) {
    const std::string text = RandomText(size, size);
    ASSERT_RESULT(const ObjectInfo info, Write(*store, text, kReplaceIt));
    EXPECT_EQ(info.size_bytes, size);
    EXPECT_TRUE(stub.Holds("run/object") == text) << size;
  }
  EXPECT_EQ(stub.Unfinished(), 0U);
}

// Each of these goes wrong once or more on the way; the object is right in the end.
TEST(GsObject, GoesOnWhereTheServiceStopped) {
  const std::vector<std::string> faults = {
      R"({"query":"upload_id","persist":262144,"times":3})",
      R"({"query":"upload_id","status":503,"times":3})",
      R"({"query":"upload_id","skip":1,"status":503,"carried_out":true,"times":2})",
      R"({"query":"upload_id","status":500,"persist":262144,"times":2})",
      R"({"query":"upload_id","status":429,"times":1})",
      R"({"method":"PUT","query":"upload_id","cut_upload_after":300000,"times":2})",
      R"({"method":"PUT","query":"upload_id","cut_after":0,"times":2})",
      R"({"method":"PUT","query":"upload_id","skip":2,"cut_after":0,"times":1})",
      R"({"query":"upload_id","session_gone":410,"times":1})",
      R"({"query":"upload_id","session_gone":404,"times":1})",
      R"({"query":"uploadType=resumable&name","status":503,"times":1})"};
  const std::string text = RandomText(3 * kChunk - 5, 1);
  GsStub stub;
  const auto store = stub.Open();
  for (const std::string& fault : faults) {
    stub.stub().Script("[" + fault + "]");
    const auto info = Write(*store, text, kReplaceIt);
    ASSERT_TRUE(info.has_value()) << fault << "\n" << ErrorOf(info);
    EXPECT_TRUE(stub.Holds("run/object") == text) << fault;
  }
}

TEST(GsObject, FailsWhenTheSessionIsLostInItsMiddle) {
  GsStub stub;
  const auto store = stub.Open();
  stub.stub().Script(R"([{"query":"upload_id","skip":1,"session_gone":410,"times":1}])");
  const auto info = Write(*store, RandomText(3 * kChunk, 1));
  ASSERT_FALSE(info.has_value());
  EXPECT_EQ(info.error().code, Code::kIo);
  ExpectSays(info.error(), "session");
  EXPECT_TRUE(stub.Names().empty());
}

TEST(GsObject, CancelsTheSessionOfAnAbandonedWriter) {
  GsStub stub;
  const auto store = stub.Open();
  {
    ASSERT_RESULT(const auto writer, store->Create("object", {}));
    ASSERT_SUCCEEDS(writer->Append(BytesOf(RandomText(2 * kChunk, 1))));
    EXPECT_EQ(stub.Unfinished(), 1U);
  }
  EXPECT_EQ(stub.Unfinished(), 0U);
  EXPECT_TRUE(stub.Names().empty());
}

TEST(GsObject, TakesItsOwnEarlierTryForASuccess) {
  for (const size_t size : {size_t{100}, static_cast<size_t>(2 * kChunk)}) {
    GsStub stub;
    stub.stub().Script(
        R"([{"query":"uploadType=multipart","status":503,"carried_out":true,"times":1},
            {"method":"PUT","query":"upload_id","skip":1,"cut_after":0,"times":1}])");
    const std::string text = RandomText(size, 3);
    ASSERT_RESULT(const ObjectInfo info, Write(*stub.Open(), text));
    EXPECT_TRUE(stub.Holds("run/object") == text);
    EXPECT_EQ(info.crc32c, Crc32c::Of(BytesOf(text)));
  }
}

TEST(GsObject, LetsAnotherProgramsObjectWinACreateOnlyRace) {
  for (const size_t size : {size_t{100}, static_cast<size_t>(2 * kChunk)}) {
    GsStub stub;
    const auto store = stub.Open();
    ASSERT_RESULT(const auto writer, store->Create("object", {}));
    ASSERT_SUCCEEDS(writer->Append(BytesOf(RandomText(size, 3))));
    stub.Put("run/object", "theirs");
    EXPECT_FAILS(Code::kCannotCreate, writer->Commit());
    EXPECT_EQ(stub.Holds("run/object"), "theirs");
  }
}

TEST(GsObject, ReplacesWhatAnotherProgramPutThereMeanwhile) {
  GsStub stub;
  stub.Put("run/object", "old");
  stub.stub().Script(
      R"([{"query":"uploadType=multipart","change_object":"bucket/run/object","times":2}])");
  ASSERT_SUCCEEDS(Write(*stub.Open(), "new", kReplaceIt));
  EXPECT_EQ(stub.Holds("run/object"), "new");
}

TEST(GsObject, HoldsNoMoreThanItSays) {
  GsStub stub;
  GsOptions options = stub.Options();
  MemoryBudget budget(GsSequentialBytes(options));
  options.budget = &budget;
  const auto store = stub.Open("gs://bucket/run", options);
  ASSERT_SUCCEEDS(Write(*store, RandomText(2 * kChunk, 1)));
  EXPECT_EQ(budget.peak_bytes(), GsSequentialBytes(options));
  EXPECT_EQ(budget.used_bytes(), 0U);
}

}  // namespace
}  // namespace ckpt
