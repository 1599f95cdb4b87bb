#include "store/gs/xml_multipart.h"

#include <fmt/format.h>

#include <pugixml.hpp>
#include <utility>
#include <vector>

#include "base/text.h"
#include "store/gs/backoff.h"
#include "store/gs/small_upload.h"

namespace ckpt::gs {
namespace {

class XmlMultipart final : public PartSink {
 public:
  XmlMultipart(Client& client, std::string object, std::string upload_id, size_t parts)
      : client_(client),
        object_(std::move(object)),
        upload_query_("uploadId=" + http::PercentEncode(upload_id)),
        etags_(parts) {}

  http::Request PartRequest(size_t part, UploadBuffer& buffer, const Crc32c& crc32c) override {
    http::Request request =
        client_.Xml("PUT", object_, fmt::format("partNumber={}&{}", part + 1, upload_query_));
    request.headers.push_back({"Content-Type", "application/octet-stream"});
    request.headers.push_back({"x-goog-hash", "crc32c=" + PrintCrc32c(crc32c)});
    request.body = buffer.bytes().first(crc32c.size_bytes());
    return request;
  }

  Result<void> TakeAnswer(size_t part, const http::Response& response) override {
    if (response.status != 200) return Fail(client_.ExplainAtOnce(response, kCreateObjects));
    const std::string* etag = http::FindHeader(response.headers, "ETag");
    if (etag == nullptr)
      return Fail(Code::kUnavailable, "a part was taken without an ETag",
                  "is the endpoint a Cloud Storage service?");
    etags_[part] = *etag;
    return {};
  }

  Result<ObjectMeta> Complete(const Crc32c& crc32c, bool is_create_only) override {
    std::string generation;  // what our completion made, where the answer says it
    if (is_create_only) {
      // The protocol has no preconditions: this is as near to the completion as we come.
      CKPT_TRY(const auto found, client_.Find(object_));
      if (found) return AcceptEqual(client_, object_, crc32c);
    }
    CKPT_TRY_VOID(SendCompletion(generation));
    is_complete_ = true;
    CKPT_TRY(auto made, client_.Find(object_));
    if (!made)
      return Result<ObjectMeta>(Fail(Code::kIo, "was removed by another program when it was made",
                                     "let one program at a time write this output"))
          .map_error(client_.At(object_));
    // Only what surely is ours may be deleted where it differs.
    if (made->generation != generation) return AcceptEqual(client_, object_, crc32c);
    return CheckMade(client_, *std::move(made), crc32c);
  }

  void Abandon() override {
    if (is_complete_) return;
    http::Request request = client_.Xml("DELETE", object_, upload_query_);
    request.retries_statuses = false;
    const Result<http::Response> response = client_.engine().Send(std::move(request));
    if (response && (response->status / 100 == 2 || response->status == 404)) return;
    client_.Warn(fmt::format(
        "{}: an unfinished multipart upload could not be removed; its parts cost until a lifecycle "
        "rule AbortIncompleteMultipartUpload ends it",
        client_.Print(object_)));
  }

 private:
  // Until the service says that it is done. An answer may be lost, or say 200 and mean an error.
  Result<void> SendCompletion(std::string& generation) {
    const std::string body = PrintCompletion(etags_);
    http::Request request = client_.Xml("POST", object_, upload_query_);
    request.headers.push_back({"Content-Type", "application/xml"});
    request.body = std::as_bytes(std::span(body));
    Backoff backoff(client_.engine().options());
    while (true) {
      CKPT_TRY(const http::Response response, client_.Send(request).map_error(client_.At(object_)));
      const ServiceError error = ParseServiceError(response.body);
      // No such upload: completed by an earlier try. The object itself is compared next.
      if (response.status == 404 && error.reason != "NoSuchBucket") return {};
      if (response.status != 200)
        return Result<void>(Fail(client_.Explain(response, kCreateObjects)))
            .map_error(client_.At(object_));
      if (error.reason.empty()) {
        if (const std::string* made = http::FindHeader(response.headers, "x-goog-generation"))
          generation = *made;
        return {};
      }
      if (!backoff.Wait())
        return Result<void>(Fail(Code::kUnavailable,
                                 fmt::format("the upload cannot be completed: {} ({})",
                                             Excerpt(error.message), Excerpt(error.reason)),
                                 "try again later"))
            .map_error(client_.At(object_));
    }
  }

  Client& client_;
  const std::string object_;
  const std::string upload_query_;
  std::vector<std::string> etags_;  // each written by one thread
  bool is_complete_ = false;
};

}  // namespace

Result<std::string> ParseUploadId(std::string_view xml) {
  pugi::xml_document document;
  std::string id;
  if (document.load_buffer(xml.data(), xml.size()))
    id = document.child("InitiateMultipartUploadResult").child_value("UploadId");
  if (id.empty())
    return Fail(Code::kUnavailable,
                "a multipart upload was accepted without an identifier: " + Excerpt(xml),
                "is the endpoint a Cloud Storage service?");
  return id;
}

std::string PrintCompletion(std::span<const std::string> etags) {
  std::string xml = "<CompleteMultipartUpload>";
  for (size_t i = 0; i < etags.size(); ++i) {
    // An ETag is quoted text: only these three characters could end it.
    std::string etag;
    for (const char c : etags[i]) {
      if (c == '&') {
        etag += "&amp;";
      } else if (c == '<') {
        etag += "&lt;";
      } else if (c == '>') {
        etag += "&gt;";
      } else {
        etag += c;
      }
    }
    xml += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", i + 1, etag);
  }
  return xml + "</CompleteMultipartUpload>";
}

Result<std::unique_ptr<PartSink>> StartXmlMultipart(Client& client, std::string object,
                                                    size_t parts) {
  http::Request request = client.Xml("POST", object, "uploads");
  request.headers.push_back({"Content-Type", "application/octet-stream"});
  CKPT_TRY(const http::Response response, client.Send(request).map_error(client.At(object)));
  if (response.status != 200)
    return Result<std::unique_ptr<PartSink>>(Fail(client.Explain(response, kUploadParts)))
        .map_error(client.At(object));
  CKPT_TRY(std::string id, ParseUploadId(response.body).map_error(client.At(object)));
  return std::make_unique<XmlMultipart>(client, std::move(object), std::move(id), parts);
}

}  // namespace ckpt::gs
