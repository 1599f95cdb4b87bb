// What is printed and parsed, and how objects are cut: without any service.
#include <gtest/gtest.h>

#include "base/base64.h"
#include "store/gs/gs_error.h"
#include "store/gs/gs_options.h"
#include "store/gs/object_json.h"
#include "store/gs/part_layout.h"
#include "store/gs/part_pool.h"
#include "store/gs/receipt.h"
#include "store/gs/resumable_upload.h"
#include "store/gs/session.h"
#include "store/gs/upload_list.h"
#include "store/gs/xml_multipart.h"
#include "tests/store/store_test.h"

namespace ckpt::gs {
namespace {

constexpr uint64_t kMiB = 1 << 20;

TEST(GsBase64, FollowsTheStandardsExamples) {
  const std::vector<std::pair<std::string, std::string>> examples = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
  for (const auto& [plain, text] : examples) {
    EXPECT_EQ(EncodeBase64(BytesOf(plain)), text);
    EXPECT_EQ(DecodeBase64(text), plain);
  }
  EXPECT_EQ(EncodeBase64Url("\xfb\xff\xfe"), "-__-");
  EXPECT_EQ(EncodeBase64Url("f"), "Zg");
  for (const std::string bad : {"Z", "Zg=", "Zh==", "Z===", "Zg==Zg==", "Z-=="})
    EXPECT_EQ(DecodeBase64(bad), std::nullopt) << bad;
}

TEST(GsObjectJson, PrintsAndReadsCrcsInBigEndianBase64) {
  EXPECT_EQ(PrintCrc32c(Crc32c::Of(BytesOf("123456789"))), "4waSgw==");
  EXPECT_EQ(ParseCrc32c("4waSgw=="), 0xE3069283U);
  EXPECT_EQ(ParseCrc32c("AAAA"), std::nullopt);
  EXPECT_EQ(ParseCrc32c(""), std::nullopt);
}

TEST(GsObjectJson, CombinesCrcsOfParts) {
  const std::string text = RandomText(100'000, 1);
  Crc32c whole;
  for (const auto& [begin, end] : {std::pair{0, 1}, {1, 4096}, {4096, 4096}, {4096, 100'000}})
    whole.Append(Crc32c::Of(
        BytesOf(text).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin))));
  EXPECT_EQ(whole, Crc32c::Of(BytesOf(text)));
}

TEST(GsObjectJson, ReadsAnObjectsDescription) {
  ASSERT_RESULT(const ObjectMeta meta, ParseObject(R"({"name":"a/b","size":"9","generation":"17",
      "crc32c":"4waSgw==","updated":"2026-01-31T23:59:59.5Z","contentEncoding":"gzip"})"));
  EXPECT_EQ(meta.name, "a/b");
  EXPECT_EQ(meta.size_bytes, 9U);
  EXPECT_EQ(meta.generation, "17");
  EXPECT_EQ(meta.crc32c, Crc32c(0xE3069283U, 9));
  EXPECT_EQ(meta.modified_ns, 1769903999500000000);
  EXPECT_EQ(meta.content_encoding, "gzip");
  for (const std::string bad :
       {"", "[]", "{}", R"({"name":"a","size":"x","generation":"1"})",
        R"({"name":"a","size":"-1","generation":"1"})", R"({"name":"a","size":"1"})",
        R"({"name":"","size":"1","generation":"1"})", R"({"name":"a","size":1,"generation":"1"})"})
    EXPECT_FAILS(Code::kUnavailable, ParseObject(bad));
}

TEST(GsObjectJson, ReadsPagesThatAreEmptyAndYetNotTheLast) {
  ASSERT_RESULT(const ListPage page, ParseListPage(R"({"nextPageToken":"t"})"));
  EXPECT_TRUE(page.objects.empty());
  EXPECT_EQ(page.next_page_token, "t");
  EXPECT_FAILS(Code::kUnavailable, ParseListPage(R"({"items":{}})"));
  EXPECT_FAILS(Code::kUnavailable, ParseListPage(R"({"items":[{"name":"a"}]})"));
}

TEST(GsObjectJson, ReadsTimes) {
  EXPECT_EQ(ParseTime("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(ParseTime("1970-01-01T00:00:01.25Z"), 1'250'000'000);
  EXPECT_EQ(ParseTime("1970-01-01T02:00:00+02:00"), 0);
  EXPECT_EQ(ParseTime("2014-10-02T15:01:23Z"), 1412262083000000000);
  for (const std::string bad : {"", "now", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z",
                                "1970-01-01 00:00:01Z", "1970-01-01T00:00:01Zx"})
    EXPECT_EQ(ParseTime(bad), 0) << bad;
}

TEST(GsError, ReadsJsonAndXml) {
  const ServiceError json = ParseServiceError(
      R"({"error":{"code":403,"message":"no","errors":[{"reason":"rateLimitExceeded"}]}})");
  EXPECT_EQ(json.reason, "rateLimitExceeded");
  EXPECT_EQ(json.message, "no");
  const ServiceError xml = ParseServiceError(
      "<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>gone</Message></Error>");
  EXPECT_EQ(xml.reason, "NoSuchKey");
  EXPECT_EQ(xml.message, "gone");
  EXPECT_EQ(ParseServiceError("<html>").reason, "");
  EXPECT_EQ(ParseServiceError("{").reason, "");
}

TEST(GsError, NamesPrincipalPermissionAndBucket) {
  http::Response response;
  response.status = 403;
  response.body = R"({"error":{"message":"no","errors":[{"reason":"forbidden"}]}})";
  const Error denied = ExplainStatus(response, kCreateObjects, {"b", "me@example.com", false});
  EXPECT_EQ(denied.code, Code::kDenied);
  for (const std::string words : {"me@example.com", "storage.objects.create", "gs://b"})
    EXPECT_NE(denied.Print().find(words), std::string::npos) << denied.Print();
  EXPECT_EQ(ExplainStatus(response, kGetObjects, {"b", "", true}).code, Code::kNoCredential);
  response.status = 404;
  EXPECT_NE(ExplainStatus(response, kListObjects, {"b", "", true})
                .Print()
                .find("gcloud storage buckets create gs://b --location="),
            std::string::npos);
}

TEST(GsResumable, PrintsRangesAndReadsWhatArrived) {
  EXPECT_EQ(PrintContentRange({0, 262144}, std::nullopt), "bytes 0-262143/*");
  EXPECT_EQ(PrintContentRange({262144, 263000}, 263000), "bytes 262144-262999/263000");
  EXPECT_EQ(PrintContentRange({5, 5}, 5), "bytes */5");
  EXPECT_EQ(PrintContentRange({5, 5}, std::nullopt), "bytes */*");
  const std::string good = "bytes=0-262143";
  EXPECT_EQ(ParseAcknowledged(&good), 262144U);
  EXPECT_EQ(ParseAcknowledged(nullptr), 0U);
  for (const std::string bad : {"bytes=1-5", "bytes=0-", "0-5", "bytes=0-5,7-8"})
    EXPECT_EQ(ParseAcknowledged(&bad), std::nullopt) << bad;
}

TEST(GsXmlMultipart, ReadsTheUploadIdAndPrintsTheCompletion) {
  EXPECT_EQ(*ParseUploadId("<InitiateMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/"
                           "2006-03-01/'><UploadId>a+b</UploadId></InitiateMultipartUploadResult>"),
            "a+b");
  EXPECT_FAILS(Code::kUnavailable, ParseUploadId("<Error/>"));
  const std::vector<std::string> etags = {"\"x\"", "\"<&>\""};
  EXPECT_EQ(PrintCompletion(etags),
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"x\"</ETag></Part>"
            "<Part><PartNumber>2</PartNumber><ETag>\"&lt;&amp;&gt;\"</ETag></Part>"
            "</CompleteMultipartUpload>");
}

TEST(GsReceipt, IsReadAsItWasPrinted) {
  const Receipt receipt{
      {{0, Crc32c(1, 5 * kMiB), "\"a b:c\""}, {9'999, Crc32c(0xE3069283U, 9), ""}},
      {{{100, 109}, Crc32c(0xE3069283U, 9)}}};
  const std::string text = PrintReceipt(receipt);
  EXPECT_EQ(text, "gs1 1:5242880:00000001:%22a%20b%3Ac%22 10000:9:e3069283: @100:9:e3069283");
  EXPECT_EQ(*ParseReceipt(text), receipt);
  EXPECT_EQ(*ParseReceipt("gs1"), Receipt());
  for (const std::string bad : {"",
                                " ",
                                "gs",
                                "gs1 ",
                                "gs1  1:9:00000000:a",
                                "gs1 0:9:00000000:a",
                                "gs1 1:9:0:a",
                                "gs1 01:9:00000000:a",
                                "gs1 1:9:00000000",
                                "gs1 1:9:00000000:a:b",
                                "gs1 1:9:E3069283:a",
                                "gs1 1:-9:00000000:a",
                                "gs1 1:9:00000000:a b",
                                "gs1 1:9:00000000:%61",
                                "gs1 1:9:00000000:%",
                                "gs1 2:9:00000000:a 1:9:00000000:a",
                                "gs1 1:9:00000000:a 1:9:00000000:a",
                                "gs1 @1:9:00000000 1:9:00000000:a",
                                "gs1 @1:9:00000000 @9:9:00000000",
                                "gs1 @18446744073709551615:9:00000000",
                                "gs1 @1:9:00000000:",
                                "gs1 @:9:00000000",
                                "gs1 18446744073709551616:9:00000000:a",
                                "gs1 x"})
    EXPECT_FAILS(Code::kIo, ParseReceipt(bad));
}

TEST(GsSession, IsReadAsItWasPrinted) {
  for (const std::string text : {"xml VXBsb2FkIElE_-/+=", "compose 0123456789abcdef"})
    EXPECT_EQ(PrintSession(*ParseSession(text)), text);
  for (const std::string bad : {"", "xml", "xml ", "xml a\nb", "xml a b", "compose", "compose ",
                                "compose 0123456789abcde", "compose 0123456789abcde/", "Xml a"})
    EXPECT_FAILS(Code::kIo, ParseSession(bad));
  EXPECT_EQ(ScratchFolder("t", {true, "0123456789abcdef"}), "t/0123456789abcdef");
  const std::string folder = ScratchFolder("t", {false, "../x"});
  EXPECT_EQ(folder.size(), 18U);
  EXPECT_NE(folder, ScratchFolder("t", {false, "../y"}));
}

TEST(GsUploadList, ReadsPages) {
  ASSERT_RESULT(
      const UploadPage last,
      ParseUploadPage("<ListMultipartUploadsResult xmlns='x'><IsTruncated>false</IsTruncated>"
                      "<Upload><Key>a &amp; b+c</Key><UploadId>1</UploadId></Upload>"
                      "<Upload><Key>d</Key><UploadId>2</UploadId></Upload>"
                      "</ListMultipartUploadsResult>"));
  EXPECT_EQ(last.uploads, (std::vector<UnfinishedUpload>{{"a & b+c", "1"}, {"d", "2"}}));
  EXPECT_EQ(last.next_key, "");
  ASSERT_RESULT(const UploadPage first,
                ParseUploadPage("<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
                                "<NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>i"
                                "</NextUploadIdMarker></ListMultipartUploadsResult>"));
  EXPECT_EQ(first.next_key, "k");
  EXPECT_EQ(first.next_id, "i");
  ASSERT_RESULT(const UploadPage none,
                ParseUploadPage("<ListBucketResult><Contents><Key>a</Key></Contents>"
                                "<IsTruncated>true</IsTruncated></ListBucketResult>"));
  EXPECT_TRUE(none.uploads.empty());
  EXPECT_EQ(none.next_key, "") << "a service without such uploads lists objects";
  for (const std::string bad :
       {"", "<html/>", "<ListMultipartUploadsResult>",
        "<ListMultipartUploadsResult><Upload><Key>a</Key></Upload></ListMultipartUploadsResult>",
        "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>"})
    EXPECT_FAILS(Code::kUnavailable, ParseUploadPage(bad));
}

// The rules that hold for every layout.
void ExpectGoodLayout(const PartLayout& layout, uint64_t size) {
  ASSERT_LE(layout.parts.size(), kMostParts);
  uint64_t at = 0;
  for (size_t i = 0; i < layout.parts.size(); ++i) {
    EXPECT_EQ(layout.parts[i].begin, at);
    at = layout.parts[i].end;
    EXPECT_LE(layout.parts[i].size(), layout.most_bytes);
    EXPECT_TRUE(i + 1 == layout.parts.size() || layout.parts[i].size() >= kLeastPartBytes);
    EXPECT_EQ(layout.Find(layout.parts[i].begin), i);
    EXPECT_EQ(layout.Find(layout.parts[i].end - 1), i);
  }
  EXPECT_EQ(at, size);
  at = 0;
  ASSERT_EQ(layout.first_cell.size(), layout.parts.size() + 1);
  EXPECT_EQ(layout.first_cell.back(), layout.cells.size());
  for (size_t i = 0; i < layout.parts.size(); ++i) {
    ASSERT_LT(layout.first_cell[i], layout.first_cell[i + 1]);
    for (size_t c = layout.first_cell[i]; c < layout.first_cell[i + 1]; ++c) {
      EXPECT_EQ(layout.cells[c].begin, at);
      EXPECT_LT(at, layout.cells[c].end);
      at = layout.cells[c].end;
      EXPECT_TRUE(layout.parts[i].Contains(layout.cells[c]));
    }
  }
  EXPECT_EQ(at, size);
}

TEST(GsPartLayout, CutsEachSegmentIntoEqualParts) {
  const std::vector<uint64_t> borders = {40 * kMiB + 1};
  const PartLayout layout = CutIntoParts(60 * kMiB, borders, 0);
  ExpectGoodLayout(layout, 60 * kMiB);
  ASSERT_EQ(layout.parts.size(), 5U);
  EXPECT_EQ(layout.parts[2].end, borders[0]);
  EXPECT_EQ(layout.parts[0].size(), 13'981'056U);
  EXPECT_EQ(layout.parts[1].size(), 13'980'992U);
  EXPECT_EQ(layout.parts[2].size(), 13'980'993U);
  EXPECT_EQ(layout.straddling, 0U);
}

TEST(GsPartLayout, JoinsSegmentsThatAreTooSmallForAPart) {
  const std::vector<uint64_t> borders = {10, 3 * kMiB, 20 * kMiB, 30 * kMiB};
  const PartLayout layout = CutIntoParts(30 * kMiB + 1, borders, 0);
  ExpectGoodLayout(layout, 30 * kMiB + 1);
  EXPECT_EQ(layout.parts.size(), 4U);  // [0, 20 MiB) in two, [20, 30), the last byte
  EXPECT_EQ(layout.straddling, 1U);
  const std::vector<ByteRange> cells(layout.cells.begin(), layout.cells.begin() + 4);
  EXPECT_EQ(cells, (std::vector<ByteRange>{
                       {0, 10}, {10, 3 * kMiB}, {3 * kMiB, 10 * kMiB}, {10 * kMiB, 20 * kMiB}}));
}

TEST(GsPartLayout, KeepsToTheMostParts) {
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, 16 * kMiB, 16 * kMiB + 1, 700'000 * kMiB}) {
    const PartLayout layout = CutIntoParts(size, {}, 0);
    ExpectGoodLayout(layout, size);
  }
  std::vector<uint64_t> borders;
  for (uint64_t at = 6 * kMiB; at < 200'000 * kMiB; at += 6 * kMiB) borders.push_back(at);
  ExpectGoodLayout(CutIntoParts(200'000 * kMiB, borders, 0), 200'000 * kMiB);
}

TEST(GsOptions, CountsTheMemoryOfUploads) {
  GsOptions options;
  options.open_segments = 2;
  options.parts_in_flight = 3;
  EXPECT_EQ(GsPositionedBytes(options, 0, {}), 0U);
  EXPECT_EQ(GsPositionedBytes(options, kMiB, {}), UploadBuffer::GrantBytes(kMiB));
  EXPECT_EQ(GsPositionedBytes(options, 1600 * kMiB, {}), 5 * UploadBuffer::GrantBytes(16 * kMiB));
}

TEST(GsPartPool, RefusesMoreOpenPartsThanPromisedInsteadOfWaiting) {
  MemoryBudget budget(1 << 20);
  ASSERT_RESULT(const auto pool, PartPool::Make(budget, 2, 1, 1000, {}));
  EXPECT_EQ(budget.used_bytes(), 2 * UploadBuffer::GrantBytes(1000));
  ASSERT_RESULT(UploadBuffer first, pool->Take());
  EXPECT_FAILS(Code::kInternal, pool->Take());
  pool->Sent();
  ASSERT_RESULT(UploadBuffer second, pool->Take());
  pool->GiveBack(std::move(second), false);
  pool->GiveBack(std::move(first), true);
  pool->WaitForSent();
}

TEST(GsOptions, ReadsTheEmulatorsAddress) {
  const auto with = [](const std::string& value) {
    return GsEmulator([value](const char*) -> std::optional<std::string> { return value; });
  };
  EXPECT_EQ((*with("127.0.0.1:9000"))->Print(), "http://127.0.0.1:9000/");
  EXPECT_EQ((*with("https://gcs.example:443/x"))->path(), "/x");
  EXPECT_EQ(*with(""), std::nullopt);
  EXPECT_FAILS(Code::kUsage, with("ftp://x"));
}

}  // namespace
}  // namespace ckpt::gs
