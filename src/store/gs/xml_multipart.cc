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

bool IsUploadGone(const http::Response& response) {
  return response.status == 404 && ParseServiceError(response.body).reason != "NoSuchBucket";
}

// Emulators answer so that have the JSON API alone.
bool IsUnknownRequest(const http::Response& response) {
  return response.status == 400 || response.status == 405;
}

class XmlMultipart final : public PartSink {
 public:
  XmlMultipart(Client& client, std::string object, std::string upload_id)
      : client_(client),
        object_(std::move(object)),
        upload_query_("uploadId=" + http::PercentEncode(upload_id)),
        session_{false, std::move(upload_id)} {}

  Session session() const override { return session_; }

  http::Request PartRequest(size_t part, UploadBuffer& buffer, const Crc32c& crc32c) override {
    http::Request request =
        client_.Xml("PUT", object_, fmt::format("partNumber={}&{}", part + 1, upload_query_));
    request.headers.push_back({"Content-Type", "application/octet-stream"});
    request.headers.push_back({"x-goog-hash", "crc32c=" + PrintCrc32c(crc32c)});
    request.body = buffer.bytes().first(crc32c.size_bytes());
    return request;
  }

  Result<std::string> TakeAnswer(const http::Response& response) override {
    if (response.status != 200) return Fail(client_.ExplainAtOnce(response, kCreateObjects));
    const std::string* etag = http::FindHeader(response.headers, "ETag");
    if (etag == nullptr)
      return Fail(Code::kUnavailable, "a part was taken without an ETag",
                  "is the endpoint a Cloud Storage service?");
    return *etag;
  }

  bool IsGone(const http::Response& response) const override { return IsUploadGone(response); }

  Result<ObjectMeta> Complete(std::span<const std::string> tags, const Crc32c& crc32c,
                              bool is_create_only) override {
    std::string generation;  // what our completion made, where the answer says it
    if (is_create_only) {
      // The protocol has no preconditions: this is as near to the completion as we come.
      CKPT_TRY(const auto found, client_.Find(object_));
      if (found) return AcceptEqual(client_, object_, crc32c);
    }
    CKPT_TRY(const bool was_there, SendCompletion(tags, generation));
    is_complete_ = true;
    // By an earlier try of ours, or by another process: or it is lost.
    if (!was_there) return AcceptCompleted(client_, object_, crc32c);
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
  // False where there is no such upload.
  Result<bool> SendCompletion(std::span<const std::string> tags, std::string& generation) {
    const std::string body = PrintCompletion(tags);
    http::Request request = client_.Xml("POST", object_, upload_query_);
    request.headers.push_back({"Content-Type", "application/xml"});
    request.body = std::as_bytes(std::span(body));
    Backoff backoff(client_.engine().options());
    while (true) {
      CKPT_TRY(const http::Response response, client_.Send(request).map_error(client_.At(object_)));
      if (IsUploadGone(response)) return false;
      if (response.status != 200)
        return Result<bool>(Fail(client_.Explain(response, kCreateObjects)))
            .map_error(client_.At(object_));
      const ServiceError error = ParseServiceError(response.body);
      if (error.reason.empty()) {
        if (const std::string* made = http::FindHeader(response.headers, "x-goog-generation"))
          generation = *made;
        return true;
      }
      if (!backoff.Wait())
        return Result<bool>(Fail(Code::kUnavailable,
                                 fmt::format("the upload cannot be completed: {} ({})",
                                             Excerpt(error.message), Excerpt(error.reason)),
                                 "try again later"))
            .map_error(client_.At(object_));
    }
  }

  Client& client_;
  const std::string object_;
  const std::string upload_query_;
  const Session session_;
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

Result<std::unique_ptr<PartSink>> StartXmlMultipart(Client& client, std::string object) {
  http::Request request = client.Xml("POST", object, "uploads");
  request.headers.push_back({"Content-Type", "application/octet-stream"});
  CKPT_TRY(const http::Response response, client.Send(request).map_error(client.At(object)));
  if (response.status != 200) {
    Error error = client.Explain(response, kUploadParts);
    if (IsUnknownRequest(response) && error.code != Code::kUsage) {
      error.code = Code::kDenied;
      error.what = "the service has no multipart uploads: " + error.what;
    }
    return Result<std::unique_ptr<PartSink>>(Fail(std::move(error))).map_error(client.At(object));
  }
  CKPT_TRY(std::string id, ParseUploadId(response.body).map_error(client.At(object)));
  return std::make_unique<XmlMultipart>(client, std::move(object), std::move(id));
}

Result<std::unique_ptr<PartSink>> ResumeXmlMultipart(Client& client, std::string object,
                                                     std::string upload_id) {
  CKPT_TRY(
      const http::Response response,
      client
          .Send(client.Xml("GET", object,
                           fmt::format("uploadId={}&max-parts=1", http::PercentEncode(upload_id))))
          .map_error(client.At(object)));
  if (IsUploadGone(response))
    return Result<std::unique_ptr<PartSink>>(
               Fail(Code::kNotFound, "the unfinished upload is gone", GoneError().remedy))
        .map_error(client.At(object));
  // Whoever may send parts need not have the right to look at them: the first part will tell.
  if (response.status != 200 && response.status != 403)
    return Result<std::unique_ptr<PartSink>>(Fail(client.Explain(response, kListParts)))
        .map_error(client.At(object));
  return std::make_unique<XmlMultipart>(client, std::move(object), std::move(upload_id));
}

}  // namespace ckpt::gs
