// Objects filled in any order: the parts of multipart uploads, and their fallback.
#include <thread>

#include "base/units.h"
#include "store/gs/compose_parts.h"
#include "tests/store/gs/gs_stub.h"

namespace ckpt {
namespace {

// Each segment front to back on a thread of its own, in pieces of odd sizes.
Result<void> Fill(PositionedWriter& writer, const std::string& text,
                  std::vector<uint64_t> borders) {
  borders.insert(borders.begin(), 0);
  borders.push_back(text.size());
  std::vector<Result<void>> results(borders.size() - 1);
  std::vector<std::thread> threads;
  for (size_t i = 0; i + 1 < borders.size(); ++i) {
    threads.emplace_back([&, i] {
      for (uint64_t at = borders[i]; at < borders[i + 1] && results[i];) {
        const uint64_t size = std::min<uint64_t>(700'001, borders[i + 1] - at);
        results[i] = writer.WriteAt(at, BytesOf(text).subspan(at, size)).get();
        at += size;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Result<void>& result : results) CKPT_TRY_VOID(std::move(result));
  return {};
}

Result<ObjectInfo> WriteAll(Store& store, const std::string& text, const CreateOptions& options) {
  CKPT_TRY(const auto writer, store.CreatePositioned("object", text.size(), options));
  CKPT_TRY_VOID(Fill(*writer, text, options.borders));
  CKPT_TRY_VOID(writer->Settle({0, text.size()}));
  return writer->Commit();
}

TEST(GsPositioned, SendsPartsAlongTheBorders) {
  GsStub stub;
  GsOptions options = stub.Options();
  const std::string text = RandomText(40 * kMiB + 3, 1);
  const CreateOptions create{.is_create_only = true, .borders = {100, 20 * kMiB + 1}};
  MemoryBudget budget(GsPositionedBytes(options, text.size(), create.borders));
  options.budget = &budget;
  const auto store = stub.Open("gs://bucket/run", options);
  ASSERT_RESULT(const ObjectInfo info, WriteAll(*store, text, create));
  EXPECT_EQ(info.crc32c, Crc32c::Of(BytesOf(text)));
  EXPECT_TRUE(stub.Holds("run/object") == text);
  EXPECT_EQ(stub.CountRequests("PUT", "partNumber="), 4U);
  EXPECT_EQ(stub.Unfinished(), 0U);
  EXPECT_EQ(budget.used_bytes(), 0U);
  EXPECT_TRUE(stub.warnings().empty());
}

TEST(GsPositioned, TakesAnyRange) {
  GsStub stub;
  const auto store = stub.Open();
  ASSERT_RESULT(const auto writer, store->CreatePositioned("object", 10, {}));
  EXPECT_EQ(writer->alignment(), 1U);
  ASSERT_SUCCEEDS(writer->WriteAt(7, BytesOf("890")).get());
  EXPECT_FAILS(Code::kInternal, writer->Commit());  // a gap is a broken promise
  ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf("1234567")).get());
  ASSERT_SUCCEEDS(writer->Commit());
  EXPECT_EQ(stub.Holds("run/object"), "1234567890");
  EXPECT_EQ(stub.CountRequests("POST", "uploads"), 0U);
}

TEST(GsPositioned, LendsTheMemoryOfItsParts) {
  GsStub stub;
  const auto store = stub.Open();
  const std::string text = RandomText(40 * kMiB + 3, 5);
  const CreateOptions create{.is_create_only = true, .borders = {24}};
  ASSERT_RESULT(const auto writer, store->CreatePositioned("object", text.size(), create));
  size_t lent = 0;
  size_t copied = 0;
  for (uint64_t at = 0; at < text.size();) {
    const uint64_t size = std::min<uint64_t>(at == 0 ? 24 : 700'008, text.size() - at);
    ASSERT_RESULT(const std::span<std::byte> room, writer->Room({at, at + size}));
    const auto bytes = BytesOf(text).subspan(at, size);
    if (room.empty()) {
      ++copied;
      ASSERT_SUCCEEDS(writer->WriteAt(at, bytes).get());
    } else {
      ++lent;
      ASSERT_EQ(room.size(), size);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(room.data()) % 8, at % 8);
      std::copy(bytes.begin(), bytes.end(), room.begin());
      ASSERT_SUCCEEDS(writer->WriteAt(at, room).get());
    }
    at += size;
  }
  EXPECT_EQ(copied, 2U) << "where three parts meet";
  EXPECT_GT(lent, 50U);
  ASSERT_RESULT(const ObjectInfo info, writer->Commit());
  EXPECT_EQ(info.crc32c, Crc32c::Of(BytesOf(text)));
  EXPECT_TRUE(stub.Holds("run/object") == text);
}

TEST(GsPositioned, RefusesBytesThatAreWrittenTwice) {
  GsStub stub;
  const auto store = stub.Open();
  ASSERT_RESULT(const auto writer, store->CreatePositioned("object", 4, {}));
  ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf("text")).get());
  EXPECT_FAILS(Code::kInternal, writer->WriteAt(1, BytesOf("x")).get());
  EXPECT_FAILS(Code::kInternal, writer->Commit());
}

// The upload is gone, and the name holds what is not ours.
TEST(GsPositioned, NeverDeletesAnotherProgramsObject) {
  GsStub stub;
  stub.Put("run/object", "theirs");
  const auto store = stub.Open();
  const std::string text = RandomText(17 * kMiB, 2);
  ASSERT_RESULT(const auto writer, store->CreatePositioned("object", text.size(), kReplaceIt));
  ASSERT_SUCCEEDS(Fill(*writer, text, {}));
  stub.stub().Script(R"([{"method":"POST","query":"uploadId","status":404,"times":1}])");
  EXPECT_FAILS(Code::kCannotCreate, writer->Commit());
  EXPECT_EQ(stub.Holds("run/object"), "theirs");
}

TEST(GsPositioned, CompletesInSpiteOfFaults) {
  const std::vector<std::string> faults = {
      R"({"query":"partNumber","status":503,"times":2})",
      R"({"query":"partNumber","cut_after":0,"times":2})",
      R"({"query":"partNumber","cut_upload_after":100000,"times":2})",
      R"({"method":"POST","query":"uploads","status":503,"times":1})",
      R"({"method":"POST","query":"uploadId","complete_error":true,"times":2})",
      R"({"method":"POST","query":"uploadId","cut_after":0,"times":1})",
      R"({"method":"POST","query":"uploadId","status":500,"carried_out":true,"times":1})"};
  const std::string text = RandomText(17 * kMiB, 2);
  GsStub stub;
  const auto store = stub.Open();
  for (const std::string& fault : faults) {
    stub.stub().Script("[" + fault + "]");
    const auto info = WriteAll(*store, text, kReplaceIt);
    ASSERT_TRUE(info.has_value()) << fault << "\n" << ErrorOf(info);
    EXPECT_TRUE(stub.Holds("run/object") == text) << fault;
  }
}

TEST(GsPositioned, AbortsWhatIsAbandoned) {
  GsStub stub;
  const auto store = stub.Open();
  {
    ASSERT_RESULT(const auto writer, store->CreatePositioned("object", 40 * kMiB, {}));
    EXPECT_EQ(stub.Unfinished(), 1U);
    ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf(RandomText(20 * kMiB, 1))).get());
  }
  EXPECT_EQ(stub.Unfinished(), 0U);
  EXPECT_TRUE(stub.Names().empty());
}

TEST(GsPositioned, FailsLaterWritesAndTheCommitWithTheFirstFailure) {
  GsStub stub;
  const auto store = stub.Open();
  stub.stub().Script(R"([{"query":"partNumber","status":400,"times":1}])");
  {
    ASSERT_RESULT(const auto writer, store->CreatePositioned("object", 40 * kMiB, {}));
    ASSERT_SUCCEEDS(writer->WriteAt(0, BytesOf(RandomText(20 * kMiB, 1))).get());
    EXPECT_FAILS(Code::kIo, writer->Settle({0, 40 * kMiB}));
    EXPECT_FAILS(Code::kIo, writer->WriteAt(20 * kMiB, BytesOf("x")).get());
    EXPECT_FAILS(Code::kIo, writer->Commit());
  }
  EXPECT_EQ(stub.Unfinished(), 0U);
}

TEST(GsPositioned, LooksForTheNameBeforeItCompletes) {
  GsStub stub;
  const auto store = stub.Open();
  const std::string text = RandomText(17 * kMiB, 2);
  {
    ASSERT_RESULT(const auto writer, store->CreatePositioned("object", text.size(), {}));
    ASSERT_SUCCEEDS(Fill(*writer, text, {}));
    stub.Put("run/object", "theirs");
    EXPECT_FAILS(Code::kCannotCreate, writer->Commit());
  }
  EXPECT_EQ(stub.Holds("run/object"), "theirs");
  EXPECT_EQ(stub.Unfinished(), 0U);
}

TEST(GsPositioned, ComposesWhereMultipartUploadsAreDenied) {
  GsStub stub({"--tokens", "t", "--permissions",
               R"({"t":["storage.objects.get","storage.objects.list","storage.objects.create",
                        "storage.objects.delete"]})"});
  GsOptions options = stub.Options();
  options.authorizer = std::make_shared<FixedToken>(std::vector<std::string>{"t"});
  const auto store = stub.Open("gs://bucket/run", options);
  const std::string text = RandomText(33 * kMiB, 2);
  ASSERT_RESULT(const ObjectInfo info, WriteAll(*store, text, {}));
  EXPECT_EQ(info.crc32c, Crc32c::Of(BytesOf(text)));
  EXPECT_TRUE(stub.Holds("run/object") == text);
  EXPECT_EQ(stub.Names(), std::vector<std::string>{"run/object"});
  ASSERT_EQ(stub.warnings().size(), 1U);
  EXPECT_NE(stub.warnings()[0].find("storage.multipartUploads.create"), std::string::npos);
}

TEST(GsPositioned, ComposesWhereTheServiceHasNoMultipartUploads) {
  GsStub stub;
  const auto store = stub.Open();
  const std::string text = RandomText(17 * kMiB, 2);
  size_t warnings = 0;
  for (const int status : {400, 405}) {
    stub.stub().Script(
        nlohmann::json::array(
            {{{"method", "POST"}, {"query", "^uploads"}, {"times", 1}, {"status", status}}})
            .dump());
    ASSERT_RESULT(const ObjectInfo info, WriteAll(*store, text, kReplaceIt));
    EXPECT_EQ(info.crc32c, Crc32c::Of(BytesOf(text)));
    EXPECT_EQ(stub.Names(), std::vector<std::string>{"run/object"});
    ASSERT_EQ(stub.warnings().size(), ++warnings) << status;
    EXPECT_NE(stub.warnings().back().find("has no multipart uploads"), std::string::npos);
  }
}

TEST(GsPositioned, ComposesManyPartsInATree) {
  GsStub stub;
  gs::Client client("bucket", stub.Options());
  constexpr size_t parts = 32 * 3 + 5;
  const auto sink = gs::MakeComposeParts(client, "run/object", "run/.ckpt-tmp", "", parts);
  std::string text;
  gs::UploadBuffer buffer = gs::UploadBuffer::OnHeap(10);
  for (size_t i = 0; i < parts; ++i) {
    const std::string part = std::to_string(i);
    std::memcpy(buffer.bytes().data(), part.data(), part.size());
    text += part;
    ASSERT_RESULT(const auto answer,
                  client.Send(sink->PartRequest(i, buffer, Crc32c::Of(BytesOf(part)))));
    ASSERT_SUCCEEDS(sink->TakeAnswer(answer));
  }
  ASSERT_SUCCEEDS(sink->Complete({}, Crc32c::Of(BytesOf(text)), true));
  sink->Abandon();
  EXPECT_EQ(stub.Holds("run/object"), text);
  EXPECT_EQ(stub.Names(), std::vector<std::string>{"run/object"});
  EXPECT_EQ(stub.CountRequests("POST", "/compose"), 5U);
}

}  // namespace
}  // namespace ckpt
