// The connection is cut at every 64 KiB of what is sent, in each way of sending an object.
#include <iostream>

#include "base/units.h"
#include "tests/store/gs/gs_stub.h"

namespace ckpt {
namespace {

constexpr uint64_t kStep = 64 * kKiB;

/// Cuts the requests that `match` (fields of a rule) names: the first before any of its body is
/// read, each next one a step later.
std::string CutAtEachStep(const std::string& match, size_t cuts) {
  nlohmann::json rules = nlohmann::json::array();
  for (size_t i = 0; i < cuts; ++i) {
    nlohmann::json rule = nlohmann::json::parse(match);
    rule["skip"] = i;
    rule["times"] = 1;
    rule["cut_upload_after"] = i * kStep;
    rules.push_back(std::move(rule));
  }
  return rules.dump();
}

size_t CutsMade(GsStub& stub) {
  size_t made = 0;
  for (const auto& rule : nlohmann::json::parse(stub.stub().Get("/_stub/faults")))
    made += rule["applied"].get<size_t>();
  return made;
}

void Tell(const char* how, size_t cuts) {
  std::cout << how << ": " << cuts << " cuts, nothing lost\n";
}

void ExpectWhole(GsStub& stub, const std::string& text, const Result<ObjectInfo>& info) {
  ASSERT_TRUE(info.has_value()) << ErrorOf(info);
  EXPECT_EQ(info->crc32c, Crc32c::Of(BytesOf(text)));
  EXPECT_TRUE(stub.Holds("run/object") == text);
  EXPECT_EQ(stub.Names(), std::vector<std::string>{"run/object"});
  EXPECT_EQ(stub.Unfinished(), 0U);
}

Result<ObjectInfo> Append(Store& store, const std::string& text) {
  CKPT_TRY(const auto writer, store.Create("object", kReplaceIt));
  CKPT_TRY_VOID(writer->Append(BytesOf(text)));
  return writer->Commit();
}

Result<ObjectInfo> Fill(Store& store, const std::string& text, CreateOptions options) {
  CKPT_TRY(const auto writer, store.CreatePositioned("object", text.size(), std::move(options)));
  CKPT_TRY_VOID(writer->WriteAt(0, BytesOf(text)).get());
  CKPT_TRY_VOID(writer->Settle({0, text.size()}));
  return writer->Commit();
}

TEST(GsCuts, LoseNothingOfAnObjectInOneRequest) {
  GsStub stub;
  const std::string text = RandomText(512 * kKiB, 1);
  const size_t cuts = text.size() / kStep + 1;
  stub.stub().Script(CutAtEachStep(R"({"query":"uploadType=multipart"})", cuts));
  ExpectWhole(stub, text, Append(*stub.Open(), text));
  EXPECT_EQ(CutsMade(stub), cuts);
  EXPECT_EQ(stub.CountRequests("POST", "uploadType=multipart"), cuts + 1);
  Tell("in one request", cuts);
}

// The service keeps what has come in steps of 256 KiB, so each cut has an object of its own.
TEST(GsCuts, LoseNothingOfAnObjectInChunks) {
  GsStub stub;
  const auto store = stub.Open();
  const std::string text = RandomText(3 * stub.Options().chunk_bytes - 5, 2);
  const size_t cuts_of_chunk = stub.Options().chunk_bytes / kStep;
  size_t cuts = 0;
  for (size_t chunk = 0; chunk < 3; ++chunk) {
    for (size_t i = 0; i < cuts_of_chunk; ++i) {
      nlohmann::json rule = {{"method", "PUT"}, {"query", "upload_id"},
                             {"body_over", 0},  {"skip", chunk},
                             {"times", 1},      {"cut_upload_after", i * kStep}};
      stub.stub().Script(nlohmann::json::array({rule}).dump());
      ExpectWhole(stub, text, Append(*store, text));
      EXPECT_EQ(CutsMade(stub), ++cuts) << "chunk " << chunk << ", " << i * kStep << " bytes";
    }
  }
  Tell("in chunks", cuts);
}

TEST(GsCuts, LoseNothingOfAPart) {
  GsStub stub;
  GsOptions options = stub.Options();
  options.small_bytes = 1 * kMiB;
  const std::string text = RandomText(6 * kMiB, 3);
  const size_t cuts = text.size() / kStep;
  stub.stub().Script(CutAtEachStep(R"({"method":"PUT","query":"partNumber"})", cuts));
  ExpectWhole(stub, text, Fill(*stub.Open("gs://bucket/run", options), text, kReplaceIt));
  EXPECT_EQ(CutsMade(stub), cuts);
  EXPECT_EQ(stub.CountRequests("PUT", "partNumber"), cuts + 1);
  Tell("of a part", cuts);
}

// Where multipart uploads are denied, each part is an object.
TEST(GsCuts, LoseNothingOfAPartThatIsComposed) {
  GsStub stub({"--tokens", "t", "--permissions",
               R"({"t":["storage.objects.get","storage.objects.list","storage.objects.create",
                        "storage.objects.delete"]})"});
  GsOptions options = stub.Options();
  options.small_bytes = 1 * kMiB;
  options.authorizer = std::make_shared<FixedToken>(std::vector<std::string>{"t"});
  const std::string text = RandomText(3 * kMiB, 4);
  const size_t cuts = text.size() / kStep + 1;
  stub.stub().Script(
      CutAtEachStep(R"({"query":"uploadType=multipart","body_over":1000000})", cuts));
  ExpectWhole(stub, text, Fill(*stub.Open("gs://bucket/run", options), text, kReplaceIt));
  EXPECT_EQ(CutsMade(stub), cuts);
  EXPECT_EQ(stub.CountRequests("POST", "/compose"), 1U);
  Tell("of a part that is composed", cuts);
}

// Of an upload that goes on in another process, what is too small for a part waits as an object.
TEST(GsCuts, LoseNothingOfAPieceThatWaits) {
  GsStub stub;
  const auto store = stub.Open();
  const std::string text = RandomText(7 * kMiB, 5);
  const uint64_t border = 1 * kMiB;
  CreateOptions options{.borders = {border}, .is_kept = true};
  const size_t cuts = border / kStep;
  std::vector<std::string> receipts;
  for (const ByteRange& segment : {ByteRange{0, border}, ByteRange{border, text.size()}}) {
    ASSERT_RESULT(const auto writer, store->CreatePositioned("object", text.size(), options));
    options.session = writer->session();
    if (segment.begin == 0)
      stub.stub().Script(
          CutAtEachStep(R"({"path":"ckpt-tmp","method":"PUT|POST","body_over":1000})", cuts));
    ASSERT_SUCCEEDS(
        writer->WriteAt(segment.begin, BytesOf(text).subspan(segment.begin, segment.size())).get());
    ASSERT_RESULT(std::string receipt, writer->Settle(segment));
    receipts.push_back(std::move(receipt));
  }
  EXPECT_EQ(CutsMade(stub), cuts);
  ASSERT_RESULT(const auto writer, store->CreatePositioned("object", text.size(), options));
  ASSERT_SUCCEEDS(writer->TakeOver({0, border}, receipts[0]));
  ASSERT_SUCCEEDS(writer->TakeOver({border, text.size()}, receipts[1]));
  ExpectWhole(stub, text, writer->Commit());
  Tell("of a piece that waits", cuts);
}

}  // namespace
}  // namespace ckpt
